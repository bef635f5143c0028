// Command etcd turns etcd's server library into the program of a control plane node's database;
// used in the etcd image, beside etcd-data of the same version.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
