package data

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// member describes the first member of a new cluster and where its data goes.
type member struct {
	DataDir string
	Name    string
	// PeerURLs are those that the member tells others, Cluster all members' as etcd's --initial-cluster has them.
	PeerURLs []string
	Cluster  string
	Token    string
	Owner    *owner
}

// owner is the user that etcd runs as.
type owner struct{ UID, GID int }

func runCreate(args []string, out io.Writer) error {
	m, err := parseMember(args)
	if err != nil {
		return err
	}
	made, err := create(m)
	if err != nil {
		return fmt.Errorf("create data directory %s: %w", m.DataDir, err)
	}
	id, err := readIdentity(m.DataDir)
	if err != nil {
		return fmt.Errorf("check data directory %s: %w", m.DataDir, err)
	}
	word := "exists"
	if made {
		word = "created"
	}
	_, err = fmt.Fprintf(out, "%s %s member=%s cluster=%s\n", word, m.DataDir, id.Member, id.Cluster)
	return err
}

func parseMember(args []string) (member, error) {
	var m member
	var peers, owned string
	flags := flag.NewFlagSet("etcd-data create", flag.ContinueOnError)
	flags.StringVar(&m.DataDir, "data-dir", "", "etcd's data directory; left alone when it holds a log already")
	flags.StringVar(&m.Name, "name", "", "name of this member")
	flags.StringVar(&peers, "initial-advertise-peer-urls", "", "this member's peer URLs, separated by commas")
	flags.StringVar(&m.Cluster, "initial-cluster", "", "NAME=URL of every first member, separated by commas")
	flags.StringVar(&m.Token, "initial-cluster-token", "", "token that makes the cluster's identity unique")
	flags.StringVar(&owned, "owner", "", "UID:GID that the files are to belong to")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return m, err
		}
		return m, usageError(err.Error())
	}
	if flags.NArg() > 0 {
		return m, usageError("unexpected argument " + flags.Arg(0))
	}
	for _, name := range []string{"data-dir", "name", "initial-advertise-peer-urls", "initial-cluster", "initial-cluster-token"} {
		if flags.Lookup(name).Value.String() == "" {
			return m, usageError("--" + name + " is missing")
		}
	}
	m.DataDir = filepath.Clean(m.DataDir)
	m.PeerURLs = strings.Split(peers, ",")
	var err error
	m.Owner, err = parseOwner(owned)
	return m, err
}

func parseOwner(text string) (*owner, error) {
	if text == "" {
		return nil, nil
	}
	user, group, found := strings.Cut(text, ":")
	uid, errUser := strconv.ParseUint(user, 10, 31)
	gid, errGroup := strconv.ParseUint(group, 10, 31)
	if !found || errUser != nil || errGroup != nil {
		return nil, usageError("--owner is " + strconv.Quote(text) + ", want two numbers UID:GID")
	}
	return &owner{UID: int(uid), GID: int(gid)}, nil
}

// create makes the data directory unless there is one. It is made whole beside its place and renamed,
// so that a kill at any time leaves either nothing or everything.
func create(m member) (made bool, err error) {
	if err := removeStale(m.DataDir); err != nil {
		return false, err
	}
	exists, err := holdsLog(m.DataDir)
	if err != nil || exists {
		return false, err
	}
	// VerifyBootstrap of etcd checks the same, but its message names neither flag nor value.
	if _, err := types.NewURLsMap(m.Cluster); err != nil {
		return false, usageError("--initial-cluster: " + err.Error())
	}
	parent := filepath.Dir(m.DataDir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return false, fmt.Errorf("make parent: %w", err)
	}
	work, err := os.MkdirTemp(parent, filepath.Base(m.DataDir)+tempMark)
	if err != nil {
		return false, fmt.Errorf("make work directory: %w", err)
	}
	defer os.RemoveAll(work)

	fresh := filepath.Join(work, "data")
	if err := fill(m, work, fresh); err != nil {
		return false, err
	}
	if err := settle(fresh, m.Owner); err != nil {
		return false, err
	}
	if err := os.Rename(fresh, m.DataDir); err != nil {
		return false, fmt.Errorf("move into place (a mount point cannot be replaced, name a directory in it): %w", err)
	}
	return true, syncPath(parent)
}

// fill writes the member's files: the database of an empty store, restored as if it were a snapshot,
// because a restored member is the one that starts without --initial-cluster-state=new.
func fill(m member, work, target string) error {
	log, err := quietLogger()
	if err != nil {
		return err
	}
	empty := filepath.Join(work, "empty.db")
	if err := writeEmptyStore(log, empty); err != nil {
		return err
	}
	err = snapshot.NewV3(log).Restore(snapshot.RestoreConfig{
		SnapshotPath:        empty,
		Name:                m.Name,
		OutputDataDir:       target,
		PeerURLs:            m.PeerURLs,
		InitialCluster:      m.Cluster,
		InitialClusterToken: m.Token,
		SkipHashCheck:       true, // the database is our own, it never was a download
		InitialMmapSize:     backend.InitialMmapSize,
	})
	if err != nil {
		return fmt.Errorf("restore empty store: %w", err)
	}
	return nil
}

func writeEmptyStore(log *zap.Logger, path string) error {
	db := backend.NewDefaultBackend(log, path)
	store := mvcc.NewStore(log, db, &lease.FakeLessor{}, mvcc.StoreConfig{})
	store.Commit()
	if err := store.Close(); err != nil {
		return fmt.Errorf("close empty store: %w", err)
	}
	if err := db.Close(); err != nil {
		return fmt.Errorf("close empty database: %w", err)
	}
	return nil
}

// quietLogger lets etcd's library report to standard error what matters; its result line is ours, on standard output.
func quietLogger() (*zap.Logger, error) {
	config := zap.NewProductionConfig()
	config.Level = zap.NewAtomicLevelAt(zapcore.WarnLevel)
	log, err := config.Build()
	if err != nil {
		return nil, fmt.Errorf("make logger: %w", err)
	}
	return log, nil
}
