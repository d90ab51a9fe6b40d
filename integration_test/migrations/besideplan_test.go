package migrations_test

import (
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/migrations"
)

// A plan counts what is in either column, before, within and after the migration.
func TestPlanBeside(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		e := newEmployees(t, where)
		e.fill(50)
		requirePlan := func(model any, plain, sealed int64) {
			t.Helper()
			plan, err := e.as(model).Plan(t.Context(), fast(""))
			if err != nil || plan.Rows != 50 || plan.Plaintext != plain || plan.Ciphertext != sealed || plan.Nulls != 0 || len(plan.Failed) > 0 {
				t.Errorf("%s: %d rows, %d plaintext, %d ciphertext, %d NULL, failed %v: %v", plan.State, plan.Rows, plan.Plaintext, plan.Ciphertext, plan.Nulls, plan.Failed, err)
			}
			if steps := strings.Join(plan.Steps, "\n"); plan.State == migrations.None && (!strings.Contains(steps, "salary_sealed") || !strings.Contains(steps, "admits NULL")) {
				t.Errorf("steps %s", steps)
			}
		}
		requirePlan(&readingEmployee{}, 50, 0)
		for _, step := range e.besideWay() {
			if err := step.run(t.Context()); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			switch step.name {
			case "Expand":
				requirePlan(&readingEmployee{}, 50, 0)
			case "Backfill", "Verify", "Enforce":
				requirePlan(&writingEmployee{}, 0, 50)
			case "Finish":
				requirePlan(&settledEmployee{}, 0, 50)
			}
		}
	})
}
