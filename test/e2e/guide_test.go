package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestGuides does what the guides tell, command by command, in their order.
func TestGuides(t *testing.T) {
	s := newStory(t)
	for guide, built := range map[string]bool{"air-gap": false, "single-node": true} {
		t.Run(guide, func(t *testing.T) { s.follow(t, guide, built) })
	}
}

// follow runs the commands of a guide's blocks "sh workstation" and "sh machine". built says that the reader has the bundle of make build;
// otherwise the guide makes it.
func (s *story) follow(t *testing.T, guide string, built bool) {
	workstation := t.TempDir()
	check(t, os.Symlink(filepath.Join(s.root, ".local"), filepath.Join(workstation, ".local")))
	node := s.bootBare("guide-" + guide)
	check(t, node.Copy(s.ctx, s.product("bin/gardenadm"), "/usr/local/bin/gardenadm"))
	if built {
		check(t, node.Copy(s.ctx, s.product(".local/bundle.tar.zst"), "/root/bundle.tar.zst"))
	}
	brought := built
	commands := 0
	for _, block := range readBlocks(t, filepath.Join(s.root, "docs/guide", guide+".md")) {
		switch block.where {
		case "workstation":
			command := exec.CommandContext(s.ctx, "bash", "-ec", block.text)
			command.Dir = workstation
			command.Env = append(os.Environ(), "PATH="+filepath.Join(s.root, "bin")+":"+os.Getenv("PATH"))
			if out, err := command.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", block.text, err, out)
			}
			s.ownNetwork(t, filepath.Join(workstation, "shoot/cluster.yaml"))
		case "machine":
			if !brought {
				for _, name := range []string{"bundle.tar.zst", "bundle.pub", "shoot"} {
					check(t, node.Copy(s.ctx, filepath.Join(workstation, name), "/root/"+name))
				}
				brought = true
			}
			node.run("bash", "-ec", "cd /root\n"+block.text)
			if built {
				node.run("bash", "-c", "test ! -e /root/shoot/cluster.yaml || sed -i 's#10.250.0.0/16#"+s.network.Subnet().String()+"#' /root/shoot/cluster.yaml")
			}
		}
		commands += strings.Count(block.text, "gardenadm ")
	}
	if commands < 6 {
		t.Errorf("only %d commands were found in the guide", commands)
	}
	check(t, node.allPodsReady(systemPods))
	check(t, node.Remove(s.ctx))
}

// ownNetwork does what the guide tells the reader to do with an editor.
func (s *story) ownNetwork(t *testing.T, file string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	check(t, err)
	check(t, os.WriteFile(file, []byte(strings.ReplaceAll(string(raw), "10.250.0.0/16", s.network.Subnet().String())), 0o600))
}

// block is a fenced block of commands, and on which machine they run.
type block struct{ where, text string }

func readBlocks(t *testing.T, file string) []block {
	t.Helper()
	open, err := os.Open(file)
	check(t, err)
	defer open.Close()
	var out []block
	inside := false
	for lines := bufio.NewScanner(open); lines.Scan(); {
		line := lines.Text()
		where, begins := strings.CutPrefix(line, "```sh ")
		switch {
		case begins:
			inside = true
			out = append(out, block{where: where})
		case strings.HasPrefix(line, "```"):
			inside = false
		case inside:
			out[len(out)-1].text += line + "\n"
		}
	}
	return out
}
