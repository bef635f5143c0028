package program

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// checkMachine makes sure that every program and library below dir is for the platform.
func checkMachine(dir string, platform Platform) error {
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	want, ok := machines[platform.Arch]
	if !ok {
		return fmt.Errorf("check programs: the machine of %s is not known here", platform)
	}
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("check programs: %w", err)
		}
		defer file.Close()
		magic := make([]byte, len(elf.ELFMAG))
		if _, err := file.ReadAt(magic, 0); err != nil || string(magic) != elf.ELFMAG {
			return nil // a text
		}
		program, err := elf.NewFile(file)
		if err != nil {
			return fmt.Errorf("check program %s: %w", path, err)
		}
		if program.Machine != want {
			return fmt.Errorf("check program %s: it is for %s, not for %s", path, program.Machine, platform)
		}
		return nil
	})
}
