package cluster

import (
	"fmt"
	"slices"
	"strings"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Heed says what comes of a field that is set in a Shoot.
type Heed string

// Kinds of heed.
const (
	// Effect: gardenadm does what the field says.
	Effect Heed = "effect"
	// Checked: a value that does not fit the cluster is refused; none does anything else.
	Checked Heed = "checked"
	// Garden: the field is kept for a garden and does nothing in an autonomous cluster.
	Garden Heed = "garden"
	// Refused: a Shoot that sets the field is refused (GA-1004).
	Refused Heed = "refused"
)

// Field is a field of a Shoot and what comes of it.
type Field struct {
	// Path is as in a manifest, with [] for every element of a list. With Garden and Refused it stands for everything below, too,
	// that has no Field of its own.
	Path string
	Heed Heed
	// Text says what the field does, or for what it is kept; empty when it is refused.
	Text string
	// Only are the values that pass. When it is empty all pass, and none of a refused field.
	Only []string
	// Reason says why other values, or all, are refused.
	Reason string
}

// FieldSection is a group of fields under one title.
type FieldSection struct {
	Title  string
	Fields []Field
}

// FieldSections are all fields of a Shoot's spec, and the annotations that gardenadm knows.
func FieldSections() []FieldSection {
	return slices.Concat(generalFields(), apiServerFields(), controllerFields(), kubeletSections(), workerFields(), annotationFields())
}

// checkFields refuses what a Shoot sets and nothing here would heed: silence would be worse. The Shoot is defaulted.
// Its errors are of type field.ErrorTypeForbidden, but for values that are wrong in themselves.
func checkFields(shoot *gardencore.Shoot) field.ErrorList {
	walk := fieldWalk{table: map[string]Field{}}
	for _, section := range FieldSections() {
		for _, f := range section.Fields {
			walk.table[f.Path] = f
		}
	}
	walk.annotations(shoot.Annotations)
	walk.spec(shoot.Spec)
	return append(walk.errs, checkConditions(shoot)...)
}

// objection says why a value is refused, "" when it is not.
func (f Field) objection(value string) string {
	switch {
	case slices.Contains(f.Only, value), len(f.Only) == 0 && f.Heed != Refused:
		return ""
	case len(f.Only) == 0:
		return f.Reason
	}
	return fmt.Sprintf("%q is refused, only %s passes: %s", value, strings.Join(f.Only, " or "), f.Reason)
}

func effect(path, text string) Field    { return Field{Path: path, Heed: Effect, Text: text} }
func checked(path, text string) Field   { return Field{Path: path, Heed: Checked, Text: text} }
func kept(path, text string) Field      { return Field{Path: path, Heed: Garden, Text: text} }
func refused(path, reason string) Field { return Field{Path: path, Heed: Refused, Reason: reason} }

// wide says that the field stands for everything below it, too.
func (f Field) wide() bool { return f.Heed == Garden || f.Heed == Refused }

// only lets no other values pass.
func (f Field) only(reason string, values ...string) Field {
	f.Reason, f.Only = reason, values
	return f
}

// unless lets values of a refused field pass that ask for nothing.
func (f Field) unless(values ...string) Field {
	f.Only = values
	return f
}

// below puts the fields under a path.
func below(path string, fields ...Field) []Field {
	for i := range fields {
		fields[i].Path = path + "." + fields[i].Path
	}
	return fields
}
