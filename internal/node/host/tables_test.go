package host

import (
	"bytes"
	"encoding/binary"
	"os"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// In a network namespace of its own: a chain that drops what is forwarded, as Docker's, one that accepts it, and one of another hook.
func TestChainsThatDropWhatIsForwarded(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root makes network namespaces")
	}
	runtime.LockOSThread() // and not let go: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network namespace: %v", err)
	}
	const create, subsystem = unix.NLM_F_REQUEST | unix.NLM_F_CREATE | unix.NLM_F_ACK, unix.NFNL_SUBSYS_NFTABLES << 8
	number := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	table := []byte("filter\x00")
	chain := func(name string, hook, policy uint32) []byte {
		place := append(attribute(unix.NFTA_HOOK_HOOKNUM, number(hook)), attribute(unix.NFTA_HOOK_PRIORITY, number(0))...)
		return nftMessage(subsystem|unix.NFT_MSG_NEWCHAIN, create, unix.NFPROTO_IPV4, bytes.Join([][]byte{
			attribute(unix.NFTA_CHAIN_TABLE, table), attribute(unix.NFTA_CHAIN_NAME, []byte(name+"\x00")),
			attribute(unix.NFTA_CHAIN_HOOK|unix.NLA_F_NESTED, place), attribute(unix.NFTA_CHAIN_POLICY, number(policy)),
			attribute(unix.NFTA_CHAIN_TYPE, []byte("filter\x00")),
		}, nil))
	}
	err := transact(bytes.Join([][]byte{
		nftMessage(unix.NFNL_MSG_BATCH_BEGIN, unix.NLM_F_REQUEST, unix.NFPROTO_UNSPEC, nil),
		nftMessage(subsystem|unix.NFT_MSG_NEWTABLE, create, unix.NFPROTO_IPV4, attribute(unix.NFTA_TABLE_NAME, table)),
		chain("FORWARD", unix.NF_INET_FORWARD, verdictDrop),
		chain("ACCEPTS", unix.NF_INET_FORWARD, 1 /* accept */),
		chain("INPUT", unix.NF_INET_LOCAL_IN, verdictDrop),
		nftMessage(unix.NFNL_MSG_BATCH_END, unix.NLM_F_REQUEST, unix.NFPROTO_UNSPEC, nil),
	}, nil), 4)
	if err != nil {
		t.Skipf("this kernel makes no such chains: %v", err)
	}
	tables, err := listTables(t.Context())
	if err != nil || len(tables) != 1 {
		t.Fatalf("tables are %+v (%v)", tables, err)
	}
	if one := tables[0]; !slices.Equal(one.Drops, []string{"FORWARD"}) || len(one.Chains) != 3 {
		t.Errorf("the table is %+v", one)
	}
}
