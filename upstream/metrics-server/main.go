// Command metrics-server turns kubelets' resource usage into metrics.k8s.io, which kubectl top and autoscalers read;
// used as the cluster's own, in one pod.
package main

import (
	"os"

	"k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/cli"
	"sigs.k8s.io/metrics-server/cmd/metrics-server/app"
)

func main() {
	os.Exit(cli.Run(app.NewMetricsServerCommand(server.SetupSignalHandler())))
}
