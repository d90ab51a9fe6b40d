package sqlitetable

import "testing"

// NOT NULL is cut out of the definition of one column, with its name and its conflict
// clause, and nothing else.
func TestWithNotNull(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ sql, column, without string }{
		{`CREATE TABLE t (a int NOT NULL, b int NOT NULL)`, "a", `CREATE TABLE t (a int, b int NOT NULL)`},
		{`CREATE TABLE t (a int NOT NULL, b int NOT NULL)`, "B", `CREATE TABLE t (a int NOT NULL, b int)`},
		{`CREATE TABLE t ("a b" int CONSTRAINT "x" NOT NULL ON CONFLICT ABORT UNIQUE, c)`, "a b", `CREATE TABLE t ("a b" int UNIQUE, c)`},
		{`CREATE TABLE t (a decimal(10, 2) DEFAULT (1 IS NOT NULL) NOT NULL, CHECK (a IS NOT NULL))`, "a", `CREATE TABLE t (a decimal(10, 2) DEFAULT (1 IS NOT NULL), CHECK (a IS NOT NULL))`},
		{`CREATE TABLE t (a int, b int NOT NULL)`, "a", `CREATE TABLE t (a int, b int NOT NULL)`},
	} {
		d, err := read(c.sql)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.withNotNull(c.column, false)
		if err != nil || got != c.without {
			t.Errorf("%s: %s, %v", c.sql, got, err)
		}
		if d, err = read(c.without); err != nil {
			t.Fatal(err)
		}
		with, err := d.withNotNull(c.column, true)
		if err != nil {
			t.Error(err)
		}
		if d, err = read(with); err != nil {
			t.Fatal(err)
		}
		if again, err := d.withNotNull(c.column, false); err != nil || again != c.without {
			t.Errorf("%s: %s, %v", with, again, err)
		}
	}
	d, err := read(`CREATE TABLE t (a int)`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.withNotNull("b", false); err == nil {
		t.Errorf("a column that is not there: %s", got)
	}
}
