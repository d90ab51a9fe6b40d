package conformance

import (
	"fmt"
	"strings"
)

// Markdown returns the page of what happens on each path: a table for each
// section, with a column for each report. It returns an error if a row of one
// did not run: the page says nothing that no test has shown.
func Markdown(reports ...*Report) (string, error) {
	if len(reports) == 0 {
		return "", fmt.Errorf("a page is made of reports, and there is none")
	}
	var page strings.Builder
	section := ""
	for i, result := range reports[0].Results {
		if result.Section != section {
			section = result.Section
			fmt.Fprintf(&page, "\n## %s\n\n| path | what happens |", section)
			for _, report := range reports {
				fmt.Fprintf(&page, " %s |", report.Database)
			}
			fmt.Fprintf(&page, "\n| --- | --- |%s\n", strings.Repeat(" --- |", len(reports)))
		}
		fmt.Fprintf(&page, "| %s | %s |", cell(result.Path), cell(result.Happens))
		for _, report := range reports {
			if len(report.Results) != len(reports[0].Results) || report.Results[i].Path != result.Path {
				return "", fmt.Errorf("the report of %s is not of the same suite as that of %s", report.Database, reports[0].Database)
			}
			outcome, err := report.Results[i].cell()
			if err != nil {
				return "", fmt.Errorf("%s on %s: %w", result.Path, report.Database, err)
			}
			fmt.Fprintf(&page, " %s |", outcome)
		}
		page.WriteByte('\n')
	}
	return page.String(), nil
}

// cell returns what came of a row.
func (r *Result) cell() (string, error) {
	switch r.Outcome {
	case Passed:
		return "yes", nil
	case Failed:
		return "**no**", nil
	case Lacking:
		return "not there: " + cell(r.Reason), nil
	}
	return "", fmt.Errorf("the row did not run")
}

// cell makes a text fit for a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(text)
}
