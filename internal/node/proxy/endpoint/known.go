package endpoint

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Retirement is how long an address that newer lists leave out is remembered, and how many of them are.
const (
	retirement = 30 * 24 * time.Hour
	maxRetired = 16
)

// Known is what a node remembers of the API servers: the newest list, and as a last resort the addresses that were in
// earlier ones. A control plane that was restored on a machine of its past is found by those.
type Known struct {
	List    List      `json:"list"`
	Retired []Retired `json:"retired,omitempty"`
}

// Retired is an address that was in an earlier list.
type Retired struct {
	Node    string         `json:"node"`
	Address netip.AddrPort `json:"address"`
	// Since is when the node first had a list without the address.
	Since time.Time `json:"since"`
}

// Next is what is known after a newer list came.
func (k Known) Next(list List, now time.Time) Known {
	list = list.clone()
	var current []netip.AddrPort
	for _, server := range list.Servers {
		current = append(current, server.Addresses...)
	}
	var leaving []Retired
	for _, server := range k.List.Servers {
		for _, address := range server.Addresses {
			leaving = append(leaving, Retired{Node: server.Node, Address: address, Since: now.UTC().Truncate(time.Second)})
		}
	}
	// Those that leave now are the likeliest to come back: they stand first.
	retired := slices.DeleteFunc(append(leaving, k.Retired...), func(r Retired) bool { return slices.Contains(current, r.Address) })
	out := Known{List: list, Retired: retired}.Pruned(now)
	out.Retired = out.Retired[:min(len(out.Retired), maxRetired)]
	return out
}

// Pruned is what is known without the addresses that left so long ago that they may be somebody else's. k stays as it is.
func (k Known) Pruned(now time.Time) Known {
	k.Retired = slices.DeleteFunc(slices.Clone(k.Retired), func(r Retired) bool { return now.Sub(r.Since) > retirement })
	return k
}

// DecodeKnown reads what Encode wrote, as strictly as Decode.
func DecodeKnown(raw []byte) (Known, error) {
	var out Known
	if err := decode(raw, &out); err != nil {
		return Known{}, fmt.Errorf("read known API servers: %w", err)
	}
	out.List.sort()
	if err := out.validate().ToAggregate(); err != nil {
		return Known{}, fmt.Errorf("read known API servers: %w", err)
	}
	return out, nil
}

// Encode writes what DecodeKnown reads, or fails.
func (k Known) Encode() ([]byte, error) {
	k.List = k.List.clone()
	if err := k.validate().ToAggregate(); err != nil {
		return nil, fmt.Errorf("write known API servers: %w", err)
	}
	return encode(k)
}

func (k Known) validate() field.ErrorList {
	all := k.List.validate(field.NewPath("list"))
	at := field.NewPath("retired")
	if len(k.Retired) > maxRetired {
		return append(all, field.TooMany(at, len(k.Retired), maxRetired))
	}
	for i, retired := range k.Retired {
		all = append(all, validateNode(at.Index(i).Child("node"), retired.Node)...)
		all = append(all, validateAddress(at.Index(i).Child("address"), retired.Address)...)
		if year := retired.Since.Year(); year < 1970 || year > 9999 {
			all = append(all, field.Invalid(at.Index(i).Child("since"), retired.Since, "must be a time"))
		}
	}
	return all
}
