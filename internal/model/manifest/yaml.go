package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	goyaml "go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

// Bounds of one document after its aliases are replaced by what they stand for.
const (
	maxExpanded = 2 * maxFile
	maxDepth    = 1000
)

// yamlDocuments takes a stream apart at its --- lines, so that a document that is wrong hides no other.
func yamlDocuments(content []byte) (out []document) {
	for _, part := range parts(content) {
		node, err := parseYAML(part.text)
		switch {
		case err != nil:
			out = append(out, unreadable(len(out)+1, yamlMessage(err, part)))
		case !isEmpty(node):
			out = append(out, yamlDocument(len(out)+1, part, node))
		}
	}
	return out
}

func yamlDocument(number int, p part, node *goyaml.Node) document {
	check := yamlCheck{firstLine: p.line}
	check.walk(node, nil, 0)
	out := document{number: number, wrong: check.wrong}
	if check.unfit {
		return out
	}
	raw, err := yaml.YAMLToJSON(p.text)
	if err != nil {
		return unreadable(number, "cannot be read: a value does not fit its tag (!!int), aliases are nested too deep, or << is not followed by an object")
	}
	out.raw = raw
	return out
}

// part is a piece of a stream that begins at a --- line or at the start.
type part struct {
	text []byte
	// line counts the lines before the part.
	line int
}

func parts(content []byte) []part {
	var out []part
	start, startLine, at, line := 0, 0, 0, 0
	for rest := content; len(rest) > 0; line++ {
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			end = len(rest)
		}
		if at > start && isSeparator(rest[:end]) {
			out = appendPart(out, part{content[start:at], startLine})
			start, startLine = at, line
		}
		rest, at = rest[end:], at+end
	}
	return appendPart(out, part{content[start:], startLine})
}

func isSeparator(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || bytes.ContainsRune([]byte(" \t\r\n"), rune(rest[0])))
}

// appendPart leaves out what holds nothing but comments and directives: alone these are no document.
func appendPart(out []part, p part) []part {
	for line := range bytes.Lines(p.text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' && line[0] != '%' {
			return append(out, p)
		}
	}
	return out
}

// errTwoDocuments is a document that is over, by "..." or a closing bracket, and goes on.
var errTwoDocuments = errors.New("text follows the end of the document: begin a new one with ---")

// parseYAML returns the nodes of the one document in the text; nil when there is none.
func parseYAML(text []byte) (*goyaml.Node, error) {
	decoder := goyaml.NewDecoder(bytes.NewReader(text))
	var node, next goyaml.Node
	if err := decoder.Decode(&node); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := decoder.Decode(&next); err == nil {
		return nil, errTwoDocuments
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return &node, nil
}

func isEmpty(node *goyaml.Node) bool {
	if node != nil && node.Kind == goyaml.DocumentNode && len(node.Content) == 1 {
		node = node.Content[0]
	}
	return node == nil || node.Kind == goyaml.ScalarNode && node.ShortTag() == "!!null"
}

// yamlMessage names line and cause of a syntax error. The parser's texts are constant, but for the name of an anchor:
// that may be a password which begins with an asterisk.
// The line is that of the parser, which may be one off.
func yamlMessage(err error, p part) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	where := ""
	if number, rest, ok := strings.Cut(strings.TrimPrefix(text, "line "), ": "); ok {
		if line, err := strconv.Atoi(number); err == nil {
			text, where = rest, fmt.Sprintf("near line %d: ", p.line+line)
			if indentedByTab(p.text, line) {
				text = "a tab cannot indent: use spaces"
			}
		}
	}
	switch {
	case strings.HasSuffix(text, "expected <document start>"):
		text = errTwoDocuments.Error()
	case strings.HasPrefix(text, "unknown anchor"):
		text = "what begins with * stands for an anchor, and there is none of that name: put a value that begins so in quotes"
	}
	return "is not valid YAML: " + where + text
}

// indentedByTab looks at the named line, counted from 1, and at the one after it: the parser names either.
func indentedByTab(text []byte, line int) bool {
	lines := bytes.Split(text, []byte("\n"))
	for _, at := range []int{line - 1, line} {
		if at >= 0 && at < len(lines) && bytes.HasPrefix(bytes.TrimLeft(lines[at], " "), []byte("\t")) {
			return true
		}
	}
	return false
}

// yamlCheck looks for what the conversion to JSON would hide: keys that are set twice, and aliases that grow without end.
type yamlCheck struct {
	firstLine int
	wrong     []mistake
	// size is about how many bytes the document has once aliases are replaced.
	size int
	// unfit documents cannot be converted.
	unfit bool
}

func (c *yamlCheck) walk(node *goyaml.Node, at *field.Path, depth int) {
	c.size += 1 + len(node.Value)
	if c.size > maxExpanded || depth > maxDepth {
		if !c.unfit {
			c.wrong = append(c.wrong, mistake{"", "is too large or too deep once its aliases (*name) are replaced"})
		}
		c.unfit = true
	}
	if c.unfit {
		return
	}
	switch node.Kind {
	case goyaml.AliasNode:
		c.walk(node.Alias, at, depth+1)
	case goyaml.SequenceNode:
		for i, child := range node.Content {
			c.walk(child, at.Index(i), depth+1)
		}
	case goyaml.DocumentNode:
		c.walk(node.Content[0], at, depth+1)
	case goyaml.MappingNode:
		c.mapping(node, at, depth)
	}
}

func (c *yamlCheck) mapping(node *goyaml.Node, at *field.Path, depth int) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		line := c.firstLine + key.Line
		if key.Kind == goyaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != goyaml.ScalarNode {
			c.wrong = append(c.wrong, mistake{pathString(at), fmt.Sprintf("line %d: a key is a list or an object", line)})
			c.unfit = true
			return
		}
		c.size += len(key.Value)
		child := childPath(at, key.Value)
		if seen[key.Value] {
			c.wrong = append(c.wrong, mistake{pathString(child), fmt.Sprintf("is set twice, again in line %d", line)})
		}
		seen[key.Value] = true
		c.walk(value, child, depth+1)
	}
}
