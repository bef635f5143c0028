package osc

import (
	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// journaldConfig bounds the journal in size and age. Storage stays the distribution's choice.
const journaldConfig = `[Journal]
SystemMaxUse=500M
SystemMaxFileSize=50M
RuntimeMaxUse=100M
MaxRetentionSec=30day
MaxFileSec=1day
Compress=yes
`

func journald(Input) ([]unit, []file, error) {
	return []unit{{
		Name:      layout.UnitJournald,
		Command:   new(extensionsv1alpha1.CommandRestart),
		FilePaths: []string{layout.FileJournaldConf},
	}}, []file{plain(layout.FileJournaldConf, 0o644, journaldConfig)}, nil
}
