package image

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	digestA = "sha256:" + strings.Repeat("a", 64)
	digestB = "sha256:" + strings.Repeat("b", 64)
)

func TestWantedGoesThroughAFile(t *testing.T) {
	raw, err := EncodeWanted([]Wanted{
		{Image: "registry.test/z:v1@" + digestA, Digest: digestA, When: Later},
		{Image: "registry.test/both:v1", When: Later, Packed: true},
		{Image: "registry.test/both:v1", When: Join},
		{Image: "registry.test/a@" + digestB, Digest: digestB, When: Later, Packed: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeWanted(raw)
	if err != nil {
		t.Fatal(err)
	}
	want := []Wanted{
		{Image: "registry.test/both:v1", When: Join},
		{Image: "registry.test/a@" + digestB, Digest: digestB, When: Later, Packed: true},
		{Image: "registry.test/z:v1@" + digestA, Digest: digestA, When: Later},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := AtJoin(got); len(got) != 1 || got[0].When != Join {
		t.Errorf("at join: %v", got)
	}
}

func TestDecodeWantedRefuses(t *testing.T) {
	for name, c := range map[string]struct{ raw, want string }{
		"no list":            {`{}`, "cannot unmarshal"},
		"unknown field":      {`[{"image":"a","when":"join","why":1}]`, `unknown field "[0].why"`},
		"no image":           {`[{"when":"join"}]`, "[0].image: Invalid"},
		"odd image":          {`[{"image":"A b","when":"join"}]`, "[0].image: Invalid"},
		"odd digest":         {`[{"image":"a","digest":"sha256:1","when":"join"}]`, "[0].digest: Invalid"},
		"two digests":        {`[{"image":"a@` + digestA + `","digest":"` + digestB + `","when":"join"}]`, "must be the one that the image's name says"},
		"digest left out":    {`[{"image":"a@` + digestA + `","when":"join"}]`, "must be the one that the image's name says"},
		"never":              {`[{"image":"a","when":"never"}]`, "[0].when: Unsupported"},
		"one image twice":    {`[{"image":"a","when":"join"},{"image":"a","when":"later"}]`, "[1].image: Duplicate"},
		"more than there is": {"[" + strings.Repeat(`{"image":"a","when":"join"},`, maxWanted) + `{"image":"a","when":"join"}]`, "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := DecodeWanted([]byte(c.raw)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v; want an error with %q", got, err, c.want)
			}
		})
	}
}

func FuzzDecodeWanted(f *testing.F) {
	f.Add([]byte(`[{"image":"registry.test/a:v1","digest":"` + digestA + `","when":"join","packed":true}]`))
	f.Add([]byte(`[]`))
	f.Add([]byte(`[{"image":"a@sha256:0","when":"later"}]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := DecodeWanted(raw)
		if err != nil {
			return
		}
		written, err := EncodeWanted(list)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := DecodeWanted(written)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if rewritten, err := EncodeWanted(again); err != nil || !bytes.Equal(written, rewritten) {
			t.Errorf("%s became %s: %v", written, rewritten, err)
		}
	})
}
