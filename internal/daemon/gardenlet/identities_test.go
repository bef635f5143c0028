package gardenlet

import (
	"net/netip"
	"testing"

	"github.com/gardenadm/gardenadm/internal/node/reach"
)

// What is told of a Node is in what the gardenlet keeps of it.
func TestIdentityOfANode(t *testing.T) {
	node := controlPlaneNode("machine-0")
	node.Status.NodeInfo.MachineID = "aaaa"
	trimNode(node)
	if got, want := identityOf(node), (reach.Identity{Name: "machine-0", MachineID: "aaaa", Address: netip.MustParseAddr("10.250.0.10")}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	node.Status.Addresses = nil
	if got := identityOf(node); got.Address.IsValid() {
		t.Errorf("without an address: %+v", got)
	}
}
