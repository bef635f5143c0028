package host

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// tryNFTables makes a table with a chain for address translation, as kube-proxy does. It speaks netlink itself, because a host
// need not have the program nft. The table ends with the thread's network namespace.
func tryNFTables() error {
	if err := transact(nftBatch(), 2); err != nil {
		return fmt.Errorf("make a table with a nat chain: %w", err)
	}
	return nil
}

// transact sends a batch to nf_tables and waits for the answers to those of its messages that ask for one.
func transact(batch []byte, answers int) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("open a netfilter socket: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing is written to it any more
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}); err != nil {
		return err
	}
	if err := unix.Sendto(fd, batch, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buffer := make([]byte, 64<<10)
	for range answers {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if err != nil {
			return fmt.Errorf("no answer: %w", err)
		}
		if err := netlinkError(buffer[:n]); err != nil {
			return err
		}
	}
	return nil
}

// nftBatch is one transaction: a table and a chain in it.
func nftBatch() []byte {
	const create = unix.NLM_F_REQUEST | unix.NLM_F_CREATE | unix.NLM_F_ACK
	name := []byte("gardenadm-try\x00")
	number := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	hook := append(attribute(unix.NFTA_HOOK_HOOKNUM, number(unix.NF_INET_PRE_ROUTING)), attribute(unix.NFTA_HOOK_PRIORITY, number(0))...)
	chain := bytes.Join([][]byte{
		attribute(unix.NFTA_CHAIN_TABLE, name),
		attribute(unix.NFTA_CHAIN_NAME, name),
		attribute(unix.NFTA_CHAIN_HOOK|unix.NLA_F_NESTED, hook),
		attribute(unix.NFTA_CHAIN_TYPE, []byte("nat\x00")),
	}, nil)
	const subsystem = unix.NFNL_SUBSYS_NFTABLES << 8
	return bytes.Join([][]byte{
		nftMessage(unix.NFNL_MSG_BATCH_BEGIN, unix.NLM_F_REQUEST, unix.NFPROTO_UNSPEC, nil),
		nftMessage(subsystem|unix.NFT_MSG_NEWTABLE, create, unix.NFPROTO_IPV4, attribute(unix.NFTA_TABLE_NAME, name)),
		nftMessage(subsystem|unix.NFT_MSG_NEWCHAIN, create, unix.NFPROTO_IPV4, chain),
		nftMessage(unix.NFNL_MSG_BATCH_END, unix.NLM_F_REQUEST, unix.NFPROTO_UNSPEC, nil),
	}, nil)
}

// nftMessage is a netlink header and a netfilter header with the subsystem's number, before the attributes.
func nftMessage(kind, flags uint16, family byte, attributes []byte) []byte {
	out := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+4+len(attributes)))
	out = binary.NativeEndian.AppendUint16(out, kind)
	out = binary.NativeEndian.AppendUint16(out, flags)
	out = binary.NativeEndian.AppendUint32(out, 1) // sequence
	out = binary.NativeEndian.AppendUint32(out, 0) // port: the kernel fills it in
	out = append(out, family, unix.NFNETLINK_V0)
	out = binary.BigEndian.AppendUint16(out, unix.NFNL_SUBSYS_NFTABLES)
	return append(out, attributes...)
}

// attribute is padded to four bytes, which its length does not count.
func attribute(kind uint16, value []byte) []byte {
	out := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(value)))
	out = binary.NativeEndian.AppendUint16(out, kind)
	out = append(out, value...)
	return append(out, make([]byte, -len(out)&3)...)
}

// netlinkError is nil when all messages acknowledge.
func netlinkError(answer []byte) error {
	messages, err := syscall.ParseNetlinkMessage(answer)
	if err != nil {
		return err
	}
	for _, message := range messages {
		if message.Header.Type != unix.NLMSG_ERROR || len(message.Data) < 4 {
			return errors.New("the answer is not understood")
		}
		if number := int32(binary.NativeEndian.Uint32(message.Data)); number != 0 {
			return unix.Errno(-number)
		}
	}
	return nil
}
