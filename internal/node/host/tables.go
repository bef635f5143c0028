package host

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Table is a table of nftables. Those of iptables-nft are such too: ip nat, ip filter …
type Table struct {
	Family string // ip, ip6, inet, arp, bridge or netdev
	Name   string
	Chains []string // sorted
	// Drops are those chains that drop forwarded packets which no rule of theirs accepts, sorted. What other tables accept does not help.
	Drops []string
	Rules int
	// SHA256 is a hex digest of chains and rules. It does not change with what is counted, nor with the elements of sets.
	SHA256 string
}

// Tables is what nftables filters and translates by. It needs no program.
type Tables interface {
	// List returns the tables sorted by family, then name.
	List(ctx context.Context) ([]Table, error)
	// Delete deletes a table with all in it; a missing one is fine.
	Delete(ctx context.Context, family, name string) error
}

// CompareTables orders tables as Tables.List does.
func CompareTables(a, b Table) int {
	return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Name, b.Name))
}

// verdictDrop is NF_DROP of linux/netfilter.h.
const verdictDrop = 0

// tables are the real kernel's.
type tables struct{}

// families are nftables' words for the kernel's numbers.
func families() map[byte]string {
	return map[byte]string{
		unix.NFPROTO_INET: "inet", unix.NFPROTO_IPV4: "ip", unix.NFPROTO_ARP: "arp",
		unix.NFPROTO_NETDEV: "netdev", unix.NFPROTO_BRIDGE: "bridge", unix.NFPROTO_IPV6: "ip6",
	}
}

func (tables) List(ctx context.Context) ([]Table, error) {
	out, err := listTables(ctx)
	if err != nil {
		return nil, fmt.Errorf("list tables of nftables: %w", err)
	}
	return out, nil
}

// tableKey names a table in a message: its family is in the header, its name an attribute.
type tableKey struct{ family, name string }

// draft is a table of which not everything was read yet.
type draft struct {
	Table
	digest hash.Hash
}

func listTables(ctx context.Context) ([]Table, error) {
	drafts := map[tableKey]*draft{}
	err := nftDump(ctx, unix.NFT_MSG_GETTABLE, func(family string, attributes attributes) error {
		key := tableKey{family, attributes.text(unix.NFTA_TABLE_NAME)}
		drafts[key] = &draft{Table: Table{Family: key.family, Name: key.name}, digest: sha256.New()}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = nftDump(ctx, unix.NFT_MSG_GETCHAIN, func(family string, attributes attributes) error {
		at := drafts[tableKey{family, attributes.text(unix.NFTA_CHAIN_TABLE)}]
		if at == nil {
			return nil // the table was made after the first question
		}
		chain := attributes.text(unix.NFTA_CHAIN_NAME)
		at.Chains = append(at.Chains, chain)
		hook, err := parseAttributes(attributes[unix.NFTA_CHAIN_HOOK])
		if err != nil {
			return err
		}
		if hook.is(unix.NFTA_HOOK_HOOKNUM, unix.NF_INET_FORWARD) && attributes.is(unix.NFTA_CHAIN_POLICY, verdictDrop) {
			at.Drops = append(at.Drops, chain)
		}
		return attributes.digest(at.digest, unix.NFTA_CHAIN_NAME, unix.NFTA_CHAIN_TYPE, unix.NFTA_CHAIN_HOOK, unix.NFTA_CHAIN_POLICY)
	})
	if err != nil {
		return nil, err
	}
	err = nftDump(ctx, unix.NFT_MSG_GETRULE, func(family string, attributes attributes) error {
		at := drafts[tableKey{family, attributes.text(unix.NFTA_RULE_TABLE)}]
		if at == nil {
			return nil
		}
		at.Rules++
		if err := attributes.digest(at.digest, unix.NFTA_RULE_CHAIN, unix.NFTA_RULE_COMPAT, unix.NFTA_RULE_USERDATA); err != nil {
			return err
		}
		return digestExpressions(at.digest, attributes[unix.NFTA_RULE_EXPRESSIONS])
	})
	if err != nil {
		return nil, err
	}
	out := make([]Table, 0, len(drafts))
	for _, one := range drafts {
		slices.Sort(one.Chains)
		slices.Sort(one.Drops)
		one.SHA256 = hex.EncodeToString(one.digest.Sum(nil))
		out = append(out, one.Table)
	}
	slices.SortFunc(out, CompareTables)
	return out, nil
}

// nftDump asks nf_tables for all objects of a kind, of all families.
func nftDump(ctx context.Context, message int, each func(family string, attributes attributes) error) error {
	messages, err := dump(ctx, func() ([][]byte, error) {
		request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|message, unix.NLM_F_DUMP)
		request.AddData(&nl.Nfgenmsg{NfgenFamily: unix.NFPROTO_UNSPEC, Version: unix.NFNETLINK_V0})
		return request.Execute(unix.NETLINK_NETFILTER, 0)
	})
	if err != nil {
		return err
	}
	for _, one := range messages {
		if len(one) < nl.SizeofNfgenmsg {
			return errors.New("the answer is not understood")
		}
		parsed, err := parseAttributes(one[nl.SizeofNfgenmsg:])
		if err != nil {
			return err
		}
		if err := each(families()[one[0]], parsed); err != nil {
			return err
		}
	}
	return nil
}

// attributes are those of a netlink message, by their number without flags.
type attributes map[uint16][]byte

func parseAttributes(data []byte) (attributes, error) {
	list, err := nl.ParseRouteAttr(data)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	out := attributes{}
	for _, one := range list {
		out[one.Attr.Type&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER)] = one.Value
	}
	return out, nil
}

func (a attributes) text(number uint16) string {
	return string(bytes.TrimRight(a[number], "\x00"))
}

// is compares a number; one that is missing is none.
func (a attributes) is(number uint16, value uint32) bool {
	have := a[number]
	return len(have) == 4 && binary.BigEndian.Uint32(have) == value
}

func (a attributes) digest(into io.Writer, numbers ...uint16) error {
	for _, number := range numbers {
		if err := digestBytes(into, number, a[number]); err != nil {
			return err
		}
	}
	return nil
}

// digestBytes tells apart what a plain concatenation would run together.
func digestBytes(into io.Writer, number uint16, value []byte) error {
	_, err := fmt.Fprintf(into, "%d:%d:%s;", number, len(value), value)
	return err
}

// digestExpressions leaves out what the kernel counts or remembers in an expression.
func digestExpressions(into io.Writer, list []byte) error {
	elements, err := nl.ParseRouteAttr(list)
	if err != nil {
		return fmt.Errorf("read a rule: %w", err)
	}
	for _, element := range elements {
		expression, err := parseAttributes(element.Value)
		if err != nil {
			return err
		}
		wanted := []uint16{unix.NFTA_EXPR_NAME, unix.NFTA_EXPR_DATA}
		if slices.Contains([]string{"counter", "last", "quota"}, expression.text(unix.NFTA_EXPR_NAME)) {
			wanted = wanted[:1]
		}
		if err := expression.digest(into, wanted...); err != nil {
			return err
		}
	}
	return nil
}

func (tables) Delete(ctx context.Context, family, name string) error {
	if err := deleteTable(ctx, family, name); err != nil {
		return fmt.Errorf("delete table %s %s: %w", family, name, err)
	}
	return nil
}

func deleteTable(ctx context.Context, family, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for number, word := range families() {
		if word != family {
			continue
		}
		err := transact(bytes.Join([][]byte{
			nftMessage(unix.NFNL_MSG_BATCH_BEGIN, unix.NLM_F_REQUEST, unix.NFPROTO_UNSPEC, nil),
			nftMessage(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_DELTABLE, unix.NLM_F_REQUEST|unix.NLM_F_ACK, number,
				attribute(unix.NFTA_TABLE_NAME, []byte(name+"\x00"))),
			nftMessage(unix.NFNL_MSG_BATCH_END, unix.NLM_F_REQUEST, unix.NFPROTO_UNSPEC, nil),
		}, nil), 1)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return err
	}
	return errors.New("there is no such family")
}
