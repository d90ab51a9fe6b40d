package rotation

import "testing"

func TestShareOfATable(t *testing.T) {
	for _, c := range []struct {
		name  string
		table TableStatus
		want  float64
	}{
		{"at the beginning", TableStatus{Total: 100, Shards: 2}, 0},
		{"in the middle", TableStatus{Total: 100, RowsOfPass: 50, Shards: 2, ShardsDone: 1}, 0.5},
		{"with rows that were inserted since", TableStatus{Total: 100, RowsOfPass: 130, Shards: 2, ShardsDone: 1}, 0.99},
		{"with rows that were deleted since", TableStatus{Total: 100, RowsOfPass: 70, Shards: 2, ShardsDone: 2}, 1},
		{"that was empty", TableStatus{Shards: 1}, 0},
		{"that is empty", TableStatus{Shards: 1, ShardsDone: 1}, 1},
		{"of a job that has not noted the rows", TableStatus{RowsOfPass: 300, Shards: 4, ShardsDone: 1}, 0.25},
	} {
		if got := c.table.Share(); got != c.want {
			t.Errorf("a table %s: %v, want %v", c.name, got, c.want)
		}
	}
}
