// Command etcd is etcd's server and, called as etcd-data, what makes data directories for it, in one program:
// the two share most of their code, and so they can never be of different versions. Used in the etcd image.
package main

import (
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/etcdmain"

	"github.com/gardenadm/gardenadm/upstream/etcd/data"
)

func main() {
	if filepath.Base(os.Args[0]) == "etcd-data" {
		os.Exit(data.Run(os.Args[1:], os.Stdout, os.Stderr))
	}
	etcdmain.Main(os.Args)
}
