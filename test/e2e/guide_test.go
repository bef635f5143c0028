package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// guide is what a reader has when beginning with one, and what there is at the end.
type guide struct {
	name        string
	has         func(s *story, machine *host) // besides gardenadm, on the first machine
	workers     int                           // nodes besides the first machine, in the end
	leastToFind int                           // commands that it has at least
}

func hasBundle(s *story, machine *host) {
	check(s, machine.Copy(s.ctx, s.product(".local/bundle.tar.zst"), "/root/bundle.tar.zst"))
}

func hasCluster(s *story, machine *host) {
	hasBundle(s, machine)
	machine.run("gardenadm", "init", "--bundle", "/root/bundle.tar.zst")
}

// TestGuides does what the guides tell, command by command, in their order.
func TestGuides(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	for _, one := range []guide{
		{"air-gap", func(*story, *host) {}, 1, 8},
		{"single-node", hasBundle, 0, 6},
		{"nodes", hasCluster, 0, 12},
	} {
		t.Run(one.name, func(t *testing.T) { (&reader{story: s, t: t, guide: one}).follow() })
	}
}

// reader does what a guide says.
type reader struct {
	*story
	t     *testing.T
	guide guide

	workstation string           // a directory of this computer
	machines    map[string]*host // "machine" and "worker"
	brought     map[string]bool  // what was made on the workstation and is on the machine
	line        string           // that was printed last to be pasted elsewhere
}

// follow runs the commands of blocks "sh workstation", "sh machine" and "sh worker". A line that begins with gardenadm join
// stands for the one that was printed before.
func (r *reader) follow() {
	r.workstation = r.t.TempDir()
	check(r.t, os.Symlink(filepath.Join(r.root, ".local"), filepath.Join(r.workstation, ".local")))
	r.machines = map[string]*host{"machine": r.bootJoiners("guide-" + r.guide.name)[0]}
	r.brought = map[string]bool{}
	r.hasPodman()
	r.guide.has(r.story, r.machines["machine"])
	commands := 0
	for _, block := range readBlocks(r.t, filepath.Join(r.root, "docs/guide", r.guide.name+".md")) {
		switch block.where {
		case "workstation":
			r.onWorkstation(block.text)
		case "machine", "worker":
			r.onMachine(block.where, block.text)
		}
		commands += strings.Count(block.text, "gardenadm ")
	}
	if commands < r.guide.leastToFind {
		r.t.Errorf("only %d commands were found in the guide", commands)
	}
	r.eventually("all pods are Ready", 2*time.Minute, func() error {
		return r.machines["machine"].allPodsReady(systemPods + nodePods*r.guide.workers)
	})
	for _, one := range r.machines {
		check(r.t, one.Remove(r.ctx))
	}
}

func (r *reader) onWorkstation(text string) {
	command := exec.CommandContext(r.ctx, "bash", "-ec", text)
	command.Dir = r.workstation
	command.Env = append(os.Environ(), "PATH="+filepath.Dir(r.program())+":"+filepath.Join(r.workstation, "bin")+":"+os.Getenv("PATH"))
	if out, err := command.CombinedOutput(); err != nil {
		r.t.Fatalf("%s: %v\n%s", text, err, out)
	}
	r.ownNetwork(r.t, filepath.Join(r.workstation, "shoot/cluster.yaml"))
}

func (r *reader) onMachine(where, text string) {
	if r.machines[where] == nil { // bare but for the program; the guide names its Node
		r.machines[where] = r.bootJoiners("worker-1")[0]
	}
	if where == "machine" {
		r.bring()
	}
	var script []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "gardenadm join ") {
			line = r.line + "\n"
		}
		script = append(script, line)
	}
	out := r.machines[where].run("bash", "-ec", "cd /root; . ./.bashrc\n"+strings.Join(script, ""))
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "gardenadm join ") {
			r.line = strings.TrimSpace(line)
		}
	}
	if where == "machine" {
		r.machines[where].run("bash", "-c", "test ! -e /root/shoot/cluster.yaml || sed -i 's#10.250.0.0/16#"+r.network.Subnet().String()+"#' /root/shoot/cluster.yaml")
	}
}

// bring takes to the machine what the workstation has made, each file once.
func (r *reader) bring() {
	for _, name := range []string{"bundle.tar.zst", "bundle.pub", "shoot", "own.tar"} {
		made := filepath.Join(r.workstation, name)
		if _, err := os.Stat(made); err == nil && !r.brought[name] {
			check(r.t, r.machines["machine"].Copy(r.ctx, made, "/root/"+name))
			r.brought[name] = true
		}
	}
}

// dockerAsPodman is for workstations with Docker: docker save writes the format by itself.
const dockerAsPodman = `#!/bin/bash
arguments=("$@")
[ "$1" != save ] || arguments=(save "${@:4}")
exec docker "${arguments[@]}"
`

// hasPodman gives the workstation the program that the guide writes an image with, and removes the example in the end.
func (r *reader) hasPodman() {
	if _, err := exec.LookPath("podman"); err != nil {
		check(r.t, os.MkdirAll(filepath.Join(r.workstation, "bin"), 0o700))
		check(r.t, os.WriteFile(filepath.Join(r.workstation, "bin/podman"), []byte(dockerAsPodman), 0o700)) //nolint:gosec // a program
	}
	r.t.Cleanup(func() {
		_ = exec.Command("bash", "-c", "podman rmi --force registry.example.org/own/app:v1 || docker rmi --force registry.example.org/own/app:v1").Run()
	})
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
