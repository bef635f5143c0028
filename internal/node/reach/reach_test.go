package reach

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// Machines have addresses of their own on the loopback link, so that ports are the real ones.
func joiner() netip.Addr       { return netip.MustParseAddr("127.77.0.1") }
func controlPlane() netip.Addr { return netip.MustParseAddr("127.77.0.2") }

// occupied skips a test on a machine where a node runs, which has the ports on all addresses.
func occupied(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, syscall.EADDRINUSE) {
		t.Skip("this machine is a node: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// serve makes a control plane node at its address.
func serve(t *testing.T, handler http.Handler) *x509.CertPool {
	t.Helper()
	listener, err := net.Listen("tcp4", netip.AddrPortFrom(controlPlane(), layout.PortGardenlet).String())
	occupied(t, err)
	out := httptest.NewUnstartedServer(handler)
	if err := out.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	out.Listener = listener
	certificate, authorities := issue(t)
	out.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	out.StartTLS()
	t.Cleanup(out.Close)
	return authorities
}

// issue returns a certificate that ended long ago, as on a machine whose clock is years ahead.
func issue(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	past := func() time.Time { return time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC) }
	set, err := secret.Issuer{Store: &secret.Memory{}, Now: past}.Ensure(t.Context(), []secret.Spec{
		secret.Authority(secret.AuthorityCluster),
		{Name: "serving", Kind: secret.Server, Signer: secret.AuthorityCluster, IPs: []netip.Addr{controlPlane()}, ValidDays: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := tls.X509KeyPair(set.Get("serving", "", secret.DataCert), set.Get("serving", "", secret.DataKey))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(set.Get(secret.AuthorityCluster, "", secret.DataCACert))
	return out, pool
}

func newClient(t *testing.T, authorities *x509.CertPool) *Client {
	t.Helper()
	out := NewClient(joiner(), authorities)
	t.Cleanup(out.Close)
	return out
}

func noOverlay() (overlay, bool) { return overlay{}, false }

func TestClocksAreCompared(t *testing.T) {
	client := newClient(t, serve(t, newServer(Options{}, noOverlay)))
	clock, err := client.Clock(t.Context(), controlPlane())
	if err != nil {
		t.Fatal(err)
	}
	if ahead := clock.Ahead(); ahead.Abs() > time.Second {
		t.Errorf("the same clock is %s ahead of itself", ahead)
	}
}

func TestAheadAllowsForTheWay(t *testing.T) {
	here := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct{ there, within, want time.Duration }{
		{0, 0, 0}, {2 * time.Second, time.Second, time.Second}, {time.Second, 2 * time.Second, 0}, {-time.Minute, time.Second, -59 * time.Second},
	} {
		if got := (Clock{Here: here, There: here.Add(c.there), Within: c.within}).Ahead(); got != c.want {
			t.Errorf("%v: got %s", c, got)
		}
	}
}

func TestForeignCertificateIsRefused(t *testing.T) {
	serve(t, newServer(Options{}, noOverlay))
	if _, err := newClient(t, x509.NewCertPool()).Clock(t.Context(), controlPlane()); err == nil {
		t.Error("a certificate of nobody's authority is accepted")
	}
	if _, err := newClient(t, nil).Clock(t.Context(), controlPlane()); err != nil {
		t.Errorf("without authorities: %v", err)
	}
}

func TestConnect(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(listener.Addr().String())
	client := newClient(t, nil)
	if got := client.Connect(t.Context(), at); got != Reached {
		t.Errorf("open port: %s", got)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if got := client.Connect(t.Context(), at); got != Refused {
		t.Errorf("closed port: %s", got)
	}
}

func TestServerDialsBackWhoAsked(t *testing.T) {
	client := newClient(t, serve(t, newServer(Options{}, noOverlay)))
	got, err := client.Back(t.Context(), []netip.Addr{controlPlane()}, layout.PortKubelet)
	occupied(t, err)
	if len(got) != 1 || got[0].Outcome != Reached || got[0].Seen != joiner() || got[0].Err != nil {
		t.Errorf("got %+v", got)
	}
}

func TestDialBackKnowsWhoAnswers(t *testing.T) {
	listener, err := net.Listen("tcp4", netip.AddrPortFrom(joiner(), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(listener.Addr().String())
	go greet(listener, nonce{1})
	if got := dialBack(t.Context(), at, nonce{2}); got != Other {
		t.Errorf("another's answer: %s", got)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if got := dialBack(t.Context(), at, nonce{1}); got != Refused {
		t.Errorf("nobody's answer: %s", got)
	}
}

func TestOnlyPortsOfANodeAreDialled(t *testing.T) {
	client := newClient(t, serve(t, newServer(Options{}, noOverlay)))
	got, err := client.Back(t.Context(), []netip.Addr{controlPlane()}, 0) // any port
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Err == nil || got[0].Outcome == Reached {
		t.Errorf("a port of no node was dialled: %+v", got[0])
	}
}

func TestTwins(t *testing.T) {
	here, there := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	self := identityRequest{Identity{Name: "worker-1", MachineID: "AAAA"}, []string{"02:00:00:00:00:01", "02:00:00:00:00:02"}}
	seen := links{here: "02:00:00:00:00:01", there: "02:00:00:00:00:02", netip.MustParseAddr("192.0.2.3"): "02:00:00:00:00:03"}
	for name, c := range map[string]struct {
		node Identity
		want string // what a twin is told by; "" for none
	}{
		"nobody else":                  {Identity{Name: "machine-0", MachineID: "bbbb"}, ""},
		"itself, once more":            {Identity{Name: "worker-1", MachineID: "aaaa"}, ""},
		"itself, still Ready":          {Identity{Name: "worker-1", MachineID: "aaaa", Ready: true, Address: here}, ""},
		"itself, with another address": {Identity{Name: "worker-1", MachineID: "aaaa", Address: there}, ""},
		"a copied machine":             {Identity{Name: "worker-0", MachineID: "aaaa"}, "worker-0"},
		"a name given twice":           {Identity{Name: "worker-1", MachineID: "cccc"}, "worker-1"},
		"a copy with its name":         {Identity{Name: "worker-1", MachineID: "aaaa", Ready: true, Address: there}, "worker-1 02:00:00:00:00:02"},
		"a copied network card":        {Identity{Name: "machine-0", MachineID: "bbbb", Ready: true, Address: there}, "machine-0 02:00:00:00:00:02"},
		"another network card":         {Identity{Name: "machine-0", Ready: true, Address: netip.MustParseAddr("192.0.2.3")}, ""},
		"a card of long ago":           {Identity{Name: "machine-0", MachineID: "bbbb", Address: there}, ""},
		"a card that nobody has seen":  {Identity{Name: "machine-0", Ready: true, Address: netip.MustParseAddr("192.0.2.4")}, ""},
	} {
		var got string
		for _, twin := range twins(self, here, []Identity{c.node}, seen) {
			got = strings.TrimSpace(twin.Name + " " + twin.Link)
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	if got := twins(identityRequest{Identity: Identity{Name: "x"}}, here, []Identity{{Name: "y"}}, nil); len(got) != 0 {
		t.Errorf("machines without ID are twins: %v", got)
	}
}

func TestNeighbours(t *testing.T) {
	const table = `IP address       HW type     Flags       HW address            Mask     Device
192.0.2.2        0x1         0x2         02:00:00:00:00:0A     *        eth0
192.0.2.3        0x1         0x0         00:00:00:00:00:00     *        eth0
192.0.2.4        0x20        0x2         80:00:02:08:fe:80:00:00:00:00:00:00:00:00:00:00:00:00:00:01     *        ib0
`
	want := links{netip.MustParseAddr("192.0.2.2"): "02:00:00:00:00:0a"}
	if got := parseNeighbours(table); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func FuzzNeighbours(f *testing.F) {
	f.Add("192.0.2.2 0x1 0x2 02:00:00:00:00:0a * eth0\n")
	f.Fuzz(func(t *testing.T, text string) {
		for address, link := range parseNeighbours(text) {
			if parsed, err := net.ParseMAC(link); err != nil || parsed.String() != link || !address.IsValid() {
				t.Errorf("%s has the card %q", address, link)
			}
		}
	})
}

// neighbour is a table with the card of one machine, from whichever file.
type neighbour string

func (n neighbour) Read(context.Context, string) ([]byte, error) {
	return []byte(string(n) + " 0x1 0x2 " + ownLinks()[0] + " * eth0\n"), nil
}

// A machine tells its cards by itself, and the server knows whose they are.
func TestCardsAreComparedThere(t *testing.T) {
	if len(ownLinks()) == 0 {
		t.Skip("this machine has no network card")
	}
	other := Identity{Name: "worker-0", Ready: true, Address: netip.MustParseAddr("198.51.100.7")}
	nodes := func(context.Context) ([]Identity, error) { return []Identity{other}, nil }
	client := newClient(t, serve(t, newServer(Options{Nodes: nodes, Files: neighbour("198.51.100.7")}, noOverlay)))
	got, err := client.Twins(t.Context(), controlPlane(), Identity{Name: "worker-1", MachineID: "aaaa"})
	if err != nil || len(got) != 1 || got[0].Link != ownLinks()[0] {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestIdentityIsComparedThere(t *testing.T) {
	twin := Identity{Name: "worker-0", MachineID: "aaaa", Ready: true}
	nodes := func(context.Context) ([]Identity, error) { return []Identity{twin}, nil }
	client := newClient(t, serve(t, newServer(Options{Nodes: nodes}, noOverlay)))
	got, err := client.Twins(t.Context(), controlPlane(), Identity{Name: "worker-1", MachineID: "aaaa"})
	if err != nil || !slices.Equal(got, []Identity{twin}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestWhoAsksTooMuchWaits(t *testing.T) {
	l := newLimiter()
	from := netip.MustParseAddr("192.0.2.1")
	for range burst {
		done, ok := l.begin(from)
		if !ok {
			t.Fatal("refused too early")
		}
		done()
	}
	if _, ok := l.begin(from); ok {
		t.Error("one address may ask for ever")
	}
	done, ok := l.begin(from.Next())
	if !ok {
		t.Fatal("one address keeps another from asking")
	}
	done()
}

func TestNoMoreThanSomeAtOnce(t *testing.T) {
	l := newLimiter()
	from := netip.MustParseAddr("192.0.2.1")
	for range concurrent {
		from = from.Next()
		if _, ok := l.begin(from); !ok {
			t.Fatal("refused too early")
		}
	}
	if _, ok := l.begin(from.Next()); ok {
		t.Error("more are answered at once than allowed")
	}
}

func TestLimiterForgets(t *testing.T) {
	l := newLimiter()
	from := netip.MustParseAddr("10.0.0.1")
	for range 3 * remembered {
		from = from.Next()
		l.of(from)
	}
	if len(l.from) > remembered {
		t.Errorf("%d addresses are remembered", len(l.from))
	}
}

// kernel stands for the receiving end of an overlay: it takes the inner datagrams out and delivers them.
func kernel(t *testing.T, lost func(size int) bool) {
	t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(controlPlane(), layout.PortVXLAN)))
	occupied(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buffer := make([]byte, largest)
		for {
			n, _, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			if lost(n + inPacket) {
				continue
			}
			to, inner := open(buffer[:n])
			_, _ = conn.WriteToUDPAddrPort(inner, to)
		}
	}()
}

// open is the reverse of overlayPayload.
func open(frame []byte) (netip.AddrPort, []byte) {
	ip := frame[headerVXLAN+headerEthernet:]
	to := netip.AddrFrom4([4]byte(ip[16:20]))
	udp := ip[headerIP:]
	return netip.AddrPortFrom(to, binary.BigEndian.Uint16(udp[2:])), udp[headerUDP:]
}

func tunnel() (overlay, bool) {
	return overlay{Link: hardware{2, 0, 0, 0, 0, 1}, Address: netip.AddrPortFrom(controlPlane(), 0), Network: overlayID}, true
}

func TestOverlayPaths(t *testing.T) {
	loopback := mtuTo(joiner())
	all := min(loopback, largest)
	for name, c := range map[string]struct {
		overlay func() (overlay, bool)
		lost    func(size int) bool
		want    Path // to the server
	}{
		"all arrives":           {tunnel, func(int) bool { return false }, Path{Tested: true, MTU: loopback, Largest: all}},
		"large packets do not":  {tunnel, func(size int) bool { return size > 1450 }, Path{Tested: true, MTU: loopback, Largest: 1450}},
		"nothing but the proof": {tunnel, func(size int) bool { return size != smallest }, Path{Tested: true, MTU: loopback, Largest: smallest}},
		"cannot be told":        {tunnel, func(int) bool { return true }, Path{MTU: loopback}},
		"no overlay":            {noOverlay, func(int) bool { return false }, Path{MTU: loopback}},
	} {
		t.Run(name, func(t *testing.T) {
			kernel(t, c.lost)
			client := newClient(t, serve(t, newServer(Options{Address: controlPlane()}, c.overlay)))
			got, err := client.Overlay(t.Context(), []netip.Addr{controlPlane()})
			occupied(t, err)
			if got[0].ErrTo != nil || got[0].ErrFrom != nil {
				t.Fatalf("got %v and %v", got[0].ErrTo, got[0].ErrFrom)
			}
			if got[0].To != c.want {
				t.Errorf("to the server: got %+v, want %+v", got[0].To, c.want)
			}
			if want := (Path{Tested: true, MTU: loopback, Largest: all}); got[0].From != want {
				t.Errorf("from the server: got %+v, want %+v", got[0].From, want)
			}
		})
	}
}

func TestSizes(t *testing.T) {
	for mtu, want := range map[int][]int{
		1500:  {1500, 1492, 1480, 1460, 1450, 1440, 1420, 1400, 1360, 1320, 1280, 576, 128},
		1450:  {1450, 1440, 1420, 1400, 1360, 1320, 1280, 576, 128},
		65536: {1500, 1492, 1480, 1460, 1450, 1440, 1420, 1400, 1360, 1320, 1280, 576, 128},
		100:   nil,
	} {
		if got := Sizes(mtu); !slices.Equal(got, want) {
			t.Errorf("MTU %d: got %v", mtu, got)
		}
	}
}

// FuzzQuestions: whatever is asked, the server answers and lives on. What would send packets is not asked.
func FuzzQuestions(f *testing.F) {
	f.Add([]byte(`{"port":22,"nonce":"00112233445566778899aabbccddeeff"}`))
	f.Add([]byte(`{"port":10250,"nonce":"0"}`))
	f.Add([]byte(`{"name":"x","machineID":[]}`))
	nodes := func(context.Context) ([]Identity, error) { return []Identity{{Name: "x"}}, nil }
	f.Fuzz(func(t *testing.T, body []byte) {
		server := newServer(Options{Nodes: nodes}, noOverlay)
		for _, path := range []string{pathIdentity, pathReceive} {
			request := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
			recorder := httptest.NewRecorder()
			server.ServeHTTP(recorder, request)
			if recorder.Code != http.StatusOK && recorder.Code != http.StatusBadRequest {
				t.Errorf("%s: %d", path, recorder.Code)
			}
		}
	})
}
