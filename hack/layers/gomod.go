package layers

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// firstForbidden is the minor version of the k8s.io libraries that this module has to stay below for now.
const firstForbidden = 37

// CheckGoMod keeps the k8s.io libraries of this module below v0.37 while upstream/etcd builds etcd 3.6: they require
// the etcd client 3.7, etcdutl 3.6 does not compile with that one, and what speaks to a member should be of the
// member's version. With etcd 3.7 in upstream/etcd the rule falls silent by itself and may be removed.
// etcd is the text of upstream/etcd/go.mod, empty when there is none.
func CheckGoMod(root, etcd string) []string {
	if !strings.Contains(withoutComments(etcd), "go.etcd.io/etcd/server/v3 v3.6.") {
		return nil
	}
	var wrong []string
	version := regexp.MustCompile(`(?m)(?:^|\s)(k8s\.io/\S+) v0\.(\d+)\.\S+`) // klog is v2, utils and kube-openapi v0.0
	for _, m := range version.FindAllStringSubmatch(withoutComments(root), -1) {
		if minor, err := strconv.Atoi(m[2]); err != nil || minor >= firstForbidden {
			wrong = append(wrong, fmt.Sprintf("go.mod has %s v0.%s: stay below v0.%d until upstream/etcd is on etcd 3.7 (go get %s@v0.%d)",
				m[1], m[2], firstForbidden, m[1], firstForbidden-1))
		}
	}
	return wrong
}

func withoutComments(mod string) string {
	return regexp.MustCompile(`//.*`).ReplaceAllString(mod, "")
}
