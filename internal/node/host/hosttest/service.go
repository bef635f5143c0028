package hosttest

import (
	"context"
	"fmt"
	"net"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// serviceDoor is the door to the fake's systemd, as a service sees it.
type serviceDoor struct{ fake *Fake }

// passed is what the next Take returns.
type passed struct{ host.Inheritance }

// Pass makes the next Take return the listeners, beside the connections that were left.
func (f *Fake) Pass(listeners ...net.Listener) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.service.Listeners = listeners
}

// Kept are the connections that were left and not taken.
func (f *Fake) Kept() []*net.TCPConn {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.service.Connections
}

func (d serviceDoor) Take(ctx context.Context) (host.Inheritance, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.look(ctx, "take"); err != nil {
		return host.Inheritance{}, err
	}
	out := d.fake.service.Inheritance
	d.fake.service = passed{}
	return out, nil
}

func (d serviceDoor) Ready(ctx context.Context) error {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	return d.fake.change(ctx, "ready")
}

func (d serviceDoor) Keep(ctx context.Context, connections []*net.TCPConn) error {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.change(ctx, fmt.Sprintf("keep %d connections", len(connections))); err != nil {
		return err
	}
	for _, connection := range connections {
		kept, err := duplicate(connection)
		if err != nil {
			return err
		}
		d.fake.service.Connections = append(d.fake.service.Connections, kept)
	}
	return nil
}

func duplicate(connection *net.TCPConn) (*net.TCPConn, error) {
	file, err := connection.File()
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // a copy is in use
	kept, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	return kept.(*net.TCPConn), nil
}
