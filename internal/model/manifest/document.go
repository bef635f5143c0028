package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	sigsjson "sigs.k8s.io/json"
)

// document is one manifest of a file.
type document struct {
	// number counts the documents that are not empty, from 1; 0 is the whole file.
	number int
	// raw is JSON; nil when the document cannot be read.
	raw []byte
	// wrong is what was found while reading. It quotes no value.
	wrong []mistake
}

// tree is the document as Go decodes JSON, with numbers as they are written.
func (d document) tree() (tree any, ok bool) {
	decoder := json.NewDecoder(bytes.NewReader(d.raw))
	decoder.UseNumber()
	return tree, decoder.Decode(&tree) == nil
}

type mistake struct{ path, message string }

// unreadable is a document that is nothing but a mistake.
func unreadable(number int, message string) document {
	return document{number: number, wrong: []mistake{{message: message}}}
}

// documents takes a file apart; the extension is that of its name. Empty documents are left out.
func documents(extension string, content []byte) []document {
	switch {
	case bytes.HasPrefix(content, []byte("\xff\xfe")), bytes.HasPrefix(content, []byte("\xfe\xff")):
		return []document{unreadable(0, "is UTF-16: save it as UTF-8")}
	case !utf8.Valid(content):
		return []document{unreadable(0, "is not UTF-8 text")}
	}
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	if extension == ".json" {
		return jsonDocuments(content)
	}
	return yamlDocuments(content)
}

// jsonDocuments reads JSON values one after the other.
func jsonDocuments(content []byte) (out []document) {
	decoder := json.NewDecoder(bytes.NewReader(content))
	for number := 1; ; number++ {
		var raw json.RawMessage
		err := decoder.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			return append(out, unreadable(number, jsonMessage(content, err)))
		}
		one := document{number: number, raw: raw}
		var tree any
		duplicates, err := sigsjson.UnmarshalStrict(raw, &tree, sigsjson.DisallowDuplicateFields)
		if err != nil {
			return append(out, unreadable(number, "is not valid JSON"))
		}
		for _, duplicate := range duplicates {
			one.wrong = append(one.wrong, mistake{duplicatePath(duplicate), "is set twice"})
		}
		out = append(out, one)
	}
}

func duplicatePath(err error) string {
	if at, ok := err.(sigsjson.FieldError); ok {
		return at.FieldPath()
	}
	return ""
}

// jsonMessage names the line of a syntax error and what is wrong there, without the character that it is about.
func jsonMessage(content []byte, err error) string {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "is not valid JSON: it ends too early"
	}
	where := ""
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		at := min(max(syntax.Offset, 0), int64(len(content)))
		where = fmt.Sprintf("line %d: ", 1+bytes.Count(content[:at], []byte("\n")))
	}
	text := err.Error()
	if _, after, ok := strings.Cut(text, "' "); ok {
		text = "unexpected character " + after
	}
	return "is not valid JSON: " + where + text
}
