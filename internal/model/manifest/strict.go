package manifest

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// strict compares a tree of JSON with the Go type that it shall become and reports every unknown field and every value
// of a wrong type. The decoders stop at the first wrong type, name no index of a list, and quote values, which may be secret.
type strict struct {
	report func(path *field.Path, message string)
}

// value checks a tree; null is always allowed and means that nothing is set.
func (s strict) value(t reflect.Type, tree any, at *field.Path) {
	if tree == nil {
		return
	}
	if _, custom := reflect.New(t).Interface().(json.Unmarshaler); custom {
		s.decoded(t, tree, at)
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		s.value(t.Elem(), tree, at)
	case reflect.Struct:
		if object, ok := s.object(tree, at); ok {
			s.fields(t, object, at)
		}
	case reflect.Map:
		object, _ := s.object(tree, at)
		for _, key := range sortedKeys(object) {
			s.value(t.Elem(), object[key], at.Key(key))
		}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			s.decoded(t, tree, at)
			return
		}
		list, ok := tree.([]any)
		if !ok {
			s.report(at, mismatch("a list", tree))
		}
		for i, item := range list {
			s.value(t.Elem(), item, at.Index(i))
		}
	default:
		s.decoded(t, tree, at)
	}
}

func (s strict) object(tree any, at *field.Path) (map[string]any, bool) {
	object, ok := tree.(map[string]any)
	if !ok {
		s.report(at, mismatch("an object", tree))
	}
	return object, ok
}

func (s strict) fields(t reflect.Type, object map[string]any, at *field.Path) {
	known := fieldsOf(t)
	for _, key := range sortedKeys(object) {
		if fieldType, ok := known[key]; ok {
			s.value(fieldType, object[key], childPath(at, key))
			continue
		}
		s.report(childPath(at, key), "unknown field"+fieldHint(key, sortedKeys(known)))
	}
}

// decoded lets the type itself decide; of its error nothing is kept, for it quotes the value.
func (s strict) decoded(t reflect.Type, tree any, at *field.Path) {
	raw, err := json.Marshal(tree)
	if err == nil {
		err = json.Unmarshal(raw, reflect.New(t).Interface())
	}
	if err != nil {
		s.report(at, mismatch(expectation(t), tree))
	}
}

// fieldsOf returns the JSON names of a struct's fields, those of inlined structs among them.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for one := range t.Fields() {
		name, options, _ := strings.Cut(one.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case name == "" && (one.Anonymous || strings.Contains(options, "inline")):
			for inlined, fieldType := range fieldsOf(one.Type) {
				out[inlined] = fieldType
			}
		case name != "" && one.IsExported():
			out[name] = one.Type
		}
	}
	return out
}

const textInBase64 = "text in base64"

// expectation says what a value of the type looks like.
func expectation(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[metav1.Duration]():
		return "a duration such as 40s or 5m"
	case reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.MicroTime]():
		return "a time such as 2026-01-02T15:04:05Z"
	case reflect.TypeFor[resource.Quantity]():
		return "a quantity such as 500m or 2Gi"
	case reflect.TypeFor[intstr.IntOrString]():
		return "a whole number or a percentage such as 25%"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return textInBase64
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return "a whole number"
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return fmt.Sprintf("a whole number of at most %d bits", t.Bits())
	}
	return "something else"
}

// mismatch says what a value must be and, where that helps, what it is. It never quotes the value.
func mismatch(want string, tree any) string {
	have := ""
	switch tree.(type) {
	case string:
		have = "a string"
	case bool:
		have = "a boolean"
	case json.Number:
		have = "a number"
	case []any:
		have = "a list"
	case map[string]any:
		have = "an object"
	}
	switch {
	case want == "a string" && (have == "a number" || have == "a boolean"):
		return fmt.Sprintf("must be a string, is %s: put it in quotes", have)
	case have == "", have == "a string" && strings.Contains(want, "such as"), have == "a string" && want == textInBase64,
		have == "a number" && strings.HasSuffix(want, "number"), have == "a number" && strings.HasPrefix(want, "a whole number"):
		return "must be " + want
	}
	return fmt.Sprintf("must be %s, is %s", want, have)
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

// childPath writes a key that is no field name in brackets, as Kubernetes does.
func childPath(at *field.Path, key string) *field.Path {
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '-' }) {
		return at.Key(key)
	}
	return at.Child(key)
}

func pathString(at *field.Path) string {
	if at == nil {
		return ""
	}
	return at.String()
}
