package rotationotel_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/gormcrypt/gormcrypt/rotation"
	"github.com/gormcrypt/gormcrypt/rotationotel"
)

// collect returns what a reader reads, by "job name outcome".
func collect(t *testing.T, reader sdk.Reader) map[string]float64 {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &data); err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	note := func(name string, job, outcome string, value float64) {
		all[strings.TrimSpace(job+" "+strings.TrimPrefix(name, "gormcrypt.rotation.")+" "+outcome)] = value
	}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Unit == "" || m.Description == "" {
				t.Errorf("%s has no unit or description", m.Name)
			}
			switch of := m.Data.(type) {
			case metricdata.Sum[int64]:
				if !of.IsMonotonic {
					t.Errorf("%s is no counter", m.Name)
				}
				for _, point := range of.DataPoints {
					job, _ := point.Attributes.Value("gormcrypt.rotation.job")
					outcome, _ := point.Attributes.Value("gormcrypt.rotation.outcome")
					note(m.Name, job.AsString(), outcome.AsString(), float64(point.Value))
				}
			case metricdata.Gauge[float64]:
				for _, point := range of.DataPoints {
					job, _ := point.Attributes.Value("gormcrypt.rotation.job")
					note(m.Name, job.AsString(), "", point.Value)
				}
			default:
				t.Errorf("%s is a %T", m.Name, of)
			}
		}
	}
	return all
}

// The metrics of a job are the last that was reported of it. What is not known is
// not there.
func TestProgress(t *testing.T) {
	t.Parallel()
	reader := sdk.NewManualReader()
	progress, err := rotationotel.Progress(sdk.NewMeterProvider(sdk.WithReader(reader)))
	if err != nil {
		t.Fatal(err)
	}
	if all := collect(t, reader); len(all) > 0 {
		t.Errorf("before any job: %v", all)
	}
	progress(rotation.Progress{}) // of a ledger that could not be read
	progress(rotation.Progress{Status: rotation.Status{ID: "a", Pass: 1, Rows: 10}, Share: 0.1, RowsLeft: 90, Waits: "it is noon"})
	progress(rotation.Progress{Status: rotation.Status{ID: "b", Pass: 2}})
	progress(rotation.Progress{
		Status: rotation.Status{ID: "a", Pass: 1, Rows: 50, Swapped: 40, Superseded: 3, Deleted: 2, Deferred: 1, Quarantined: 4},
		Share:  0.5, RowsLeft: 50, Rate: 12.5, Left: 4 * time.Second,
	})
	want := map[string]float64{
		"a rows read": 50, "a rows swapped": 40, "a rows superseded": 3, "a rows deleted": 2, "a rows deferred": 1,
		"a quarantine": 4, "a pass": 1, "a share": 0.5, "a rows_left": 50, "a rate": 12.5, "a time_left": 4, "a waiting": 0,
		"b rows read": 0, "b rows swapped": 0, "b rows superseded": 0, "b rows deleted": 0, "b rows deferred": 0,
		"b quarantine": 0, "b pass": 2, "b share": 0, "b rows_left": 0, "b rate": 0, "b waiting": 0,
	}
	if all := collect(t, reader); !maps.Equal(all, want) {
		t.Errorf("%v, want %v", all, want)
	}
	progress(rotation.Progress{Status: rotation.Status{ID: "b"}, Waits: "the job is paused"})
	if all := collect(t, reader); all["b waiting"] != 1 {
		t.Errorf("%v", all)
	}
}

// Jobs report while a reader reads.
func TestProgressOfManyAtOnce(t *testing.T) {
	t.Parallel()
	reader := sdk.NewManualReader()
	progress, err := rotationotel.Progress(sdk.NewMeterProvider(sdk.WithReader(reader)))
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for n := range 200 {
				progress(rotation.Progress{Status: rotation.Status{ID: fmt.Sprint(i), Rows: int64(n + 1)}})
			}
		})
	}
	for range 20 {
		collect(t, reader)
	}
	group.Wait()
	if all := collect(t, reader); all["0 rows read"] != 200 || all["3 rows read"] != 200 {
		t.Errorf("%v", all)
	}
}

// A provider whose meters fail is an error.
func TestProgressFails(t *testing.T) {
	t.Parallel()
	for _, of := range []string{"rows", "rate", "callback"} {
		progress, err := rotationotel.Progress(failing{of: of})
		if !errors.Is(err, errMeter) || progress != nil {
			t.Errorf("%s: %v", of, err)
		}
	}
}

var errMeter = errors.New("the meter is broken")

type failing struct {
	noop.MeterProvider
	of string
}

func (f failing) Meter(string, ...metric.MeterOption) metric.Meter { return failingMeter{of: f.of} }

type failingMeter struct {
	noop.Meter
	of string
}

func (f failingMeter) Int64ObservableCounter(string, ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	if f.of == "rows" {
		return nil, errMeter
	}
	return noop.Int64ObservableCounter{}, nil
}

func (f failingMeter) Float64ObservableGauge(name string, _ ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	if strings.HasSuffix(name, f.of) {
		return nil, errMeter
	}
	return noop.Float64ObservableGauge{}, nil
}

func (f failingMeter) RegisterCallback(metric.Callback, ...metric.Observable) (metric.Registration, error) {
	if f.of == "callback" {
		return nil, errMeter
	}
	return noop.Registration{}, nil
}
