package conformance

// Report is what came of a run of the suite on one database.
type Report struct {
	// Database is the name of the database.
	Database string
	// Results has one for each row, in the order of the page.
	Results []*Result
}

// Result is what came of one row.
type Result struct {
	// Section is the table of the page: "Writes", "Reads" or "Conditions".
	Section string
	// Path and Happens are the row, in Markdown.
	Path, Happens string
	// Outcome is whether what should happen happened.
	Outcome Outcome
	// Reason is why the row could not run, or which of the checks failed.
	Reason string
}

// Outcome is what came of a row.
type Outcome int

// The outcomes.
const (
	NotRun  Outcome = iota // deselected, such as by -run
	Passed                 // what should happen happened
	Failed                 // it did not
	Lacking                // the database has no such feature
)

func (r *Report) add(section string, row *row) *Result {
	result := &Result{Section: section, Path: row.path, Happens: row.effect()}
	r.Results = append(r.Results, result)
	return result
}

// Complete reports whether every row ran, or could not on this database.
func (r *Report) Complete() bool {
	for _, result := range r.Results {
		if result.Outcome == NotRun {
			return false
		}
	}
	return true
}
