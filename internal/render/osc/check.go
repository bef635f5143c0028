package osc

import (
	"fmt"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
)

// check refuses what the node agent could not apply: two topics that write the same thing,
// and units that wait for files which nobody writes (contract node-agent-and-osc §1.1, units[] and files[].hostName).
func check(spec extensionsv1alpha1.OperatingSystemConfigSpec) error {
	hosts := map[string]map[string]bool{} // path → host names, "" for all hosts
	for _, file := range spec.Files {
		host := ""
		if file.HostName != nil {
			host = *file.HostName
		}
		taken := hosts[file.Path]
		if taken == nil {
			taken = map[string]bool{}
			hosts[file.Path] = taken
		}
		if taken[host] || len(taken) > 0 && (host == "" || taken[""]) {
			return fmt.Errorf("file %s is declared twice", file.Path)
		}
		taken[host] = true
	}

	units := map[string]bool{}
	for _, unit := range spec.Units {
		if units[unit.Name] {
			return fmt.Errorf("unit %s is declared twice", unit.Name)
		}
		units[unit.Name] = true
		for _, path := range unit.FilePaths {
			if hosts[path] == nil {
				return fmt.Errorf("unit %s depends on file %s, which is not declared", unit.Name, path)
			}
		}
	}
	return nil
}
