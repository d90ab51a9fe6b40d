//go:build cgo

package rotationotel_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
	"github.com/gormcrypt/gormcrypt/rotationotel"
)

type User struct {
	ID    int64
	Email string `gorm:"serializer:encrypted"`
}

func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	db, err := gorm.Open(sqlite.Open(filepath.Join(dir, "app.db")))
	if err != nil {
		panic(err)
	}
	keys, err := keyring.Generate()
	if err != nil {
		panic(err)
	}
	plugin := gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{&User{}}})
	if err := db.Use(plugin); err != nil {
		panic(err)
	}
	if err := db.AutoMigrate(&User{}); err != nil {
		panic(err)
	}
	if err := db.Create([]User{{Email: "ada@example.org"}, {Email: "bob@example.org"}}).Error; err != nil {
		panic(err)
	}
	keys, version, err := keys.Add(keyring.DataKeys)
	if err != nil {
		panic(err)
	}
	if keys, err = keys.Promote(version); err != nil {
		panic(err)
	}
	if err := plugin.SetKeys(context.Background(), keys); err != nil {
		panic(err)
	}

	// An application has a reader that sends metrics somewhere, and most have the
	// provider from otel.GetMeterProvider.
	reader := sdk.NewManualReader()
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))

	progress, err := rotationotel.Progress(provider)
	if err != nil {
		panic(err)
	}
	job, err := rotation.New(db, rotation.Config{Progress: progress})
	if err != nil {
		panic(err)
	}
	if _, err := job.Run(context.Background()); err != nil {
		panic(err)
	}

	var data metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &data); err != nil {
		panic(err)
	}
	for _, metric := range data.ScopeMetrics[0].Metrics {
		rows, ok := metric.Data.(metricdata.Sum[int64])
		if !ok {
			continue
		}
		for _, point := range rows.DataPoints {
			if outcome, _ := point.Attributes.Value("gormcrypt.rotation.outcome"); outcome.AsString() == "swapped" {
				fmt.Println(metric.Name, "swapped:", point.Value)
			}
		}
	}
	// Output: gormcrypt.rotation.rows swapped: 2
}
