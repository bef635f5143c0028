package license

import (
	"fmt"
	"slices"
	"strings"

	classifier "github.com/google/licenseclassifier/v2"
	"github.com/google/licenseclassifier/v2/assets"
)

// Classifier tells licences by their texts.
type Classifier struct{ known *classifier.Classifier }

// NewClassifier reads the known licences, which takes a second.
func NewClassifier() (*Classifier, error) {
	known, err := assets.DefaultClassifier()
	if err != nil {
		return nil, fmt.Errorf("read known licences: %w", err)
	}
	return &Classifier{known: known}, nil
}

// Expression joins all licences that the texts contain: whoever keeps all of them is right, also where the author
// leaves the choice. One text without a known licence, or no text at all, makes it NoAssertion.
func (c *Classifier) Expression(texts []string) string {
	var names []string
	for _, text := range texts {
		found := false
		for _, match := range c.known.Match([]byte(text)).Matches {
			if match.MatchType == "License" {
				names = append(names, match.Name)
				found = true
			}
		}
		if !found {
			return NoAssertion
		}
	}
	if len(names) == 0 {
		return NoAssertion
	}
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(names))), " AND ")
}
