package machine

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Kill cuts the power: every process of the machine dies at once, also those of a paused machine. (What they had
// written stays, also where they had not asked for it to be on disk: the host's kernel lives on.)
func (m *Machine) Kill(ctx context.Context) error {
	status, err := m.status(ctx)
	if err != nil {
		return err
	}
	switch status {
	case "paused": // a frozen process does not even die
		if err := m.Unpause(ctx); err != nil {
			return err
		}
	case "running":
	default:
		return nil
	}
	if err := m.engine.run(ctx, IO{}, "kill", "--signal", "KILL", m.full); err != nil {
		return fmt.Errorf("kill machine %s: %w", m.name, err)
	}
	return m.awaitOff(ctx)
}

// Stop shuts the machine down in order; what is not done after a minute is killed.
func (m *Machine) Stop(ctx context.Context) error {
	if err := m.engine.run(ctx, IO{}, "stop", "--time", "60", m.full); err != nil {
		return fmt.Errorf("stop machine %s: %w", m.name, err)
	}
	return m.awaitOff(ctx)
}

// Restart is an orderly reboot.
func (m *Machine) Restart(ctx context.Context) error {
	if err := m.Stop(ctx); err != nil {
		return err
	}
	return m.Start(ctx)
}

func (m *Machine) awaitOff(ctx context.Context) error {
	for {
		status, err := m.status(ctx)
		if err != nil {
			return err
		}
		if status == "exited" || status == "created" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("switch machine %s off: it is still %s: %w", m.name, status, context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Pause freezes all processes of the machine; to the others it looks hung.
func (m *Machine) Pause(ctx context.Context) error {
	if err := m.engine.run(ctx, IO{}, "pause", m.full); err != nil {
		return fmt.Errorf("pause machine %s: %w", m.name, err)
	}
	return nil
}

// Unpause lets a frozen machine go on.
func (m *Machine) Unpause(ctx context.Context) error {
	if err := m.engine.run(ctx, IO{}, "unpause", m.full); err != nil {
		return fmt.Errorf("unpause machine %s: %w", m.name, err)
	}
	return nil
}

// Disconnect pulls the network cable: the machine keeps its link and addresses, without a carrier. A machine that
// is started again is connected again.
func (m *Machine) Disconnect(ctx context.Context) error { return m.cable(ctx, "down") }

// Connect plugs the network cable in.
func (m *Machine) Connect(ctx context.Context) error { return m.cable(ctx, "up") }

// cable acts on the host's end of the machine's link. (The engines' own "network disconnect" would take the link
// and its addresses away, which no broken switch does.)
func (m *Machine) cable(ctx context.Context, state string) error {
	data, err := m.ReadFile(ctx, "/sys/class/net/eth0/iflink")
	if err != nil {
		return fmt.Errorf("find cable of machine %s: %w", m.name, err)
	}
	index, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return fmt.Errorf("find cable of machine %s: %w", m.name, err)
	}
	link, err := net.InterfaceByIndex(index)
	if err != nil {
		return fmt.Errorf("find cable of machine %s: %w", m.name, err)
	}
	command := []string{"ip", "link", "set", "dev", link.Name, state}
	if err := run(ctx, command, IO{}, command...); err != nil {
		return fmt.Errorf("set cable of machine %s %s: %w", m.name, state, err)
	}
	return nil
}
