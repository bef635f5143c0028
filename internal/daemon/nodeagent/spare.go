package nodeagent

import "time"

const (
	firstSpare = 30 * time.Second
	lastSpare  = 10 * time.Minute
)

// spare says which units are not to be started for a while, because they do not stay up.
type spare struct{ units map[string]*spared }

type spared struct {
	until time.Time
	pause time.Duration
}

func newSpare() *spare { return &spare{units: map[string]*spared{}} }

// is says that the unit is not to be started now.
func (s *spare) is(unit string) bool {
	found := s.units[unit]
	return found != nil && time.Now().Before(found.until)
}

// started counts a start: the next one may come after twice the pause.
func (s *spare) started(units []string) {
	for _, unit := range units {
		found := s.units[unit]
		if found == nil {
			found = &spared{pause: firstSpare / 2}
			s.units[unit] = found
		}
		found.pause = min(2*found.pause, lastSpare)
		found.until = time.Now().Add(found.pause)
	}
}

// look forgives the units that are not down, once they have stayed up as long as they were spared.
func (s *spare) look(down []string) {
	isDown := map[string]bool{}
	for _, unit := range down {
		isDown[unit] = true
	}
	for unit, found := range s.units {
		if !isDown[unit] && time.Now().After(found.until.Add(found.pause)) {
			delete(s.units, unit)
		}
	}
}
