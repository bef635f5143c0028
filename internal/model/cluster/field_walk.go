package cluster

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// unknownField is the reason for what a newer version of Gardener's types has and the table has not.
const unknownField = "this version of gardenadm does not know the field"

// fieldWalk goes through what is set in a Shoot and collects what the table refuses.
type fieldWalk struct {
	table map[string]Field // by path
	errs  field.ErrorList
}

func (w *fieldWalk) annotations(set map[string]string) {
	at := field.NewPath("metadata", "annotations")
	for _, key := range slices.Sorted(maps.Keys(set)) {
		if f, ok := w.table[annotationPath(key)]; ok {
			w.judge(f, set[key], at.Key(key))
		}
	}
}

func (w *fieldWalk) spec(spec gardencore.ShootSpec) {
	w.visit(reflect.ValueOf(spec), "spec", field.NewPath("spec"), nil)
}

// visit looks at a value and all below it. above is the nearest field that speaks for everything below itself.
func (w *fieldWalk) visit(value reflect.Value, path string, at *field.Path, above *Field) {
	pointer := value.Kind() == reflect.Pointer
	if pointer {
		if value.IsNil() {
			return
		}
		value = value.Elem()
	}
	set := pointer || !value.IsZero()
	own, found := w.table[path]
	if found && own.wide() {
		above = &own
	}
	switch {
	case hasFields(value.Type()):
		if w.refusedWhole(own, set, at) {
			return
		}
		w.visitFields(value, path, at, above)
	case hasElements(value.Type()):
		if w.refusedWhole(own, set, at) {
			return
		}
		for i := range value.Len() {
			w.visit(value.Index(i), path+"[]", at.Index(i), above)
		}
	case found:
		// A value that must be named to pass is looked at even when it is zero: false can be a wish.
		if set || len(own.Only) > 0 {
			w.judge(own, printed(value), at)
		}
	case above != nil:
		if set {
			w.judge(*above, printed(value), at)
		}
	case set:
		w.errs = append(w.errs, field.Forbidden(at, unknownField))
	}
}

// refusedWhole refuses a group of fields at its root: an error for each of its defaulted fields would tell nothing more.
func (w *fieldWalk) refusedWhole(own Field, set bool, at *field.Path) bool {
	if !set || own.Heed != Refused {
		return false
	}
	w.errs = append(w.errs, field.Forbidden(at, own.Reason))
	return true
}

func (w *fieldWalk) visitFields(value reflect.Value, path string, at *field.Path, above *Field) {
	for i := range value.NumField() {
		name, inlined := jsonName(value.Type().Field(i))
		if inlined {
			w.visit(value.Field(i), path, at, above)
			continue
		}
		w.visit(value.Field(i), path+"."+name, at.Child(name), above)
	}
}

func (w *fieldWalk) judge(f Field, value string, at *field.Path) {
	if objection := f.objection(value); objection != "" {
		w.errs = append(w.errs, field.Forbidden(at, objection))
	}
}

// hasFields tells Gardener's own types, which are looked into, from those of others, which are one value.
// A type without fields is a mark: to set it is all that it says.
func hasFields(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.NumField() > 0 && strings.HasPrefix(t.PkgPath(), "github.com/gardener/")
}

// hasElements tells lists of Gardener's own types.
func hasElements(t reflect.Type) bool { return t.Kind() == reflect.Slice && hasFields(t.Elem()) }

// jsonName is the name of a field in a manifest; inlined fields have none of their own.
func jsonName(f reflect.StructField) (name string, inlined bool) {
	name, _, _ = strings.Cut(f.Tag.Get("json"), ",")
	return name, name == "" && f.Anonymous
}

func printed(value reflect.Value) string { return fmt.Sprint(value.Interface()) }
