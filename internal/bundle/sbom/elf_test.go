package sbom

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
)

// Go writes what a program was built of at the beginning of its first writable segment: a marker, then the version of Go and the modules,
// each behind its length. The modules are framed by 16 bytes at both ends.
const (
	goMarker = "\xff Go buildinf:\x08\x02"
	goFrame  = "################"
	goTexts  = 32 // where the texts begin
)

// executable is a small ELF file. Without a version of Go it is not Go's.
func executable(goVersion, modules string) string {
	data := []byte(strings.Repeat("no Go program ", 16))
	if goVersion != "" {
		data = append([]byte(goMarker), make([]byte, goTexts-len(goMarker))...)
		for _, text := range []string{goVersion, goFrame + modules + goFrame} {
			data = append(binary.AppendUvarint(data, uint64(len(text))), text...)
		}
	}
	const header, segment, address = 64, 56, 0x400000
	var out bytes.Buffer
	for _, part := range []any{
		elf.Header64{
			Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
			Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
			Phoff: header, Ehsize: header, Phentsize: segment, Phnum: 1,
		},
		elf.Prog64{
			Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_W), Off: header + segment, Vaddr: address,
			Filesz: uint64(len(data)), Memsz: uint64(len(data)),
		},
		data,
	} {
		if err := binary.Write(&out, binary.LittleEndian, part); err != nil {
			panic(err) // a buffer takes everything
		}
	}
	return out.String()
}
