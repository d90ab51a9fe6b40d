package gormcrypt

import (
	"runtime"
	"sync"

	"gorm.io/gorm/schema"
)

// GORM's serializers belong to the process, and keyrings to a *gorm.DB. The
// registry leads from one to the other: each *gorm.DB parses its models into
// schemas of its own, and the serializer is told the field, which knows its
// schema.
var registry sync.Map // *schema.Schema -> *modelPolicy

// registrations are the schemas that a plugin has put into the registry. They
// leave it when the plugin is gone, so that a database that is opened and
// dropped leaves nothing behind.
type registrations struct {
	mu      sync.Mutex
	schemas []*schema.Schema
}

func newRegistrations(p *Plugin) *registrations {
	r := &registrations{}
	runtime.AddCleanup(p, (*registrations).removeAll, r)
	return r
}

func (r *registrations) add(m *modelPolicy) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.schemas = append(r.schemas, m.schema)
	registry.Store(m.schema, m)
}

func (r *registrations) removeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.schemas {
		registry.Delete(s)
	}
}

// lookup returns the policy of a field, or nil if its schema belongs to no
// plugin.
func lookup(field *schema.Field) *policy {
	m, ok := registry.Load(field.Schema)
	if !ok {
		return nil
	}
	return m.(*modelPolicy).byField[field]
}
