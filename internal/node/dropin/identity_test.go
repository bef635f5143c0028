package dropin

import (
	"reflect"
	"testing"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
)

func TestNodeIsReadAsItWasWritten(t *testing.T) {
	for _, node := range []cluster.Node{
		{Name: "node-0", Addresses: addrs("192.0.2.10", "2001:db8::10"), Zone: "a", Pool: "workers", Architecture: "arm64"},
		{Name: "node-0.example.com", Addresses: addrs("192.0.2.10"), Pool: "workers"},
	} {
		raw, err := EncodeNode(node)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeNode(raw)
		if err != nil || !reflect.DeepEqual(got, node) {
			t.Errorf("got %+v and %v, want %+v", got, err, node)
		}
	}
}

func TestDecodeNodeRefuses(t *testing.T) {
	for name, raw := range map[string]string{
		"nothing": "", "no name": `{"addresses":["192.0.2.10"],"pool":"p"}`, "no address": `{"name":"n","pool":"p"}`,
		"an empty address": `{"name":"n","addresses":[""],"pool":"p"}`, "no pool": `{"name":"n","addresses":["192.0.2.10"]}`,
		"a path": `{"name":"../n","addresses":["192.0.2.10"],"pool":"p"}`,
	} {
		if node, err := DecodeNode([]byte(raw)); err == nil {
			t.Errorf("%s: got %+v", name, node)
		}
	}
}

func FuzzDecodeNode(f *testing.F) {
	f.Add([]byte(`{"name":"n","addresses":["192.0.2.10"],"zone":"a","pool":"p"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		node, err := DecodeNode(raw)
		if err != nil {
			return
		}
		again, err := EncodeNode(node)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeNode(again); err != nil {
			t.Errorf("%s: %v", again, err)
		}
	})
}
