package settings

import (
	"net/url"
	"regexp"
	"strings"
)

// passwordWord finds a password in the form "host=… password=…".
var passwordWord = regexp.MustCompile(`(?i)(^|\s)(password|sslpassword)\s*=\s*\S`)

// HasPassword says whether the URL of a database has a password in it, in doubt too.
func HasPassword(database string) bool {
	switch {
	case strings.HasPrefix(database, "sqlite:"):
		return false
	case !strings.Contains(database, "://"):
		return passwordWord.MatchString(database)
	}
	parsed, err := url.Parse(database)
	if err != nil {
		return true
	}
	query, err := url.ParseQuery(parsed.RawQuery)
	if err != nil {
		return true
	}
	for name := range query {
		if passwordWord.MatchString(name + "=.") {
			return true
		}
	}
	_, has := parsed.User.Password()
	return has || passwordWord.MatchString(database)
}
