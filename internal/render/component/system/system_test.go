package system

import (
	"testing"

	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
)

func TestGolden(t *testing.T) { componenttest.Golden(t, New()) }
