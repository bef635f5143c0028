// Package kubeconfig turns a server and a client's credentials into a kubeconfig file.
// Used by components and OSC topics for the clients on a node, and by the host steps for kubelet.
package kubeconfig

import (
	"fmt"

	"sigs.k8s.io/yaml"
)

// Config is one server and one user of it. Data and file of the same thing are alternatives; data wins, as in Kubernetes.
type Config struct {
	// Name is what cluster, user and context are called; empty stands for gardenadm.
	Name string
	// Server is the API server's URL, TLSServerName the name that its certificate must bear ("" for the URL's host).
	Server, TLSServerName string
	// CA is the server's certificate authority as PEM, CAFile the path to it.
	CA     []byte
	CAFile string
	// Cert and Key are the client's certificate as PEM, CertFile and KeyFile the paths to them.
	Cert, Key         []byte
	CertFile, KeyFile string
	// Token is a bearer token, for a kubeconfig that is never written; TokenFile is the path to one, which clients read again when it changes.
	Token, TokenFile string
}

// Render returns the kubeconfig as YAML; equal configs give equal bytes.
func Render(config Config) []byte {
	name := config.Name
	if name == "" {
		name = "gardenadm"
	}
	out, err := yaml.Marshal(file{
		APIVersion: "v1",
		Kind:       "Config",
		Clusters: []namedCluster{{Name: name, Cluster: server{
			Server:        config.Server,
			TLSServerName: config.TLSServerName,
			CAData:        config.CA,
			CAFile:        config.CAFile,
		}}},
		Users: []namedUser{{Name: name, User: user{
			CertData:  config.Cert,
			CertFile:  config.CertFile,
			KeyData:   config.Key,
			KeyFile:   config.KeyFile,
			Token:     config.Token,
			TokenFile: config.TokenFile,
		}}},
		Contexts:       []namedContext{{Name: name, Context: context{Cluster: name, User: name}}},
		CurrentContext: name,
	})
	if err != nil {
		// Strings and bytes only: there is nothing that could not be encoded.
		panic(fmt.Sprintf("render kubeconfig: %v", err))
	}
	return out
}

// The file's format, as k8s.io/client-go/tools/clientcmd/api/v1 has it: renderers import no client packages.
type file struct {
	APIVersion     string         `json:"apiVersion"`
	Kind           string         `json:"kind"`
	Clusters       []namedCluster `json:"clusters"`
	Users          []namedUser    `json:"users"`
	Contexts       []namedContext `json:"contexts"`
	CurrentContext string         `json:"current-context"`
}

type namedCluster struct {
	Name    string `json:"name"`
	Cluster server `json:"cluster"`
}

type server struct {
	Server        string `json:"server"`
	TLSServerName string `json:"tls-server-name,omitempty"`
	CAData        []byte `json:"certificate-authority-data,omitempty"`
	CAFile        string `json:"certificate-authority,omitempty"`
}

type namedUser struct {
	Name string `json:"name"`
	User user   `json:"user"`
}

type user struct {
	CertData  []byte `json:"client-certificate-data,omitempty"`
	CertFile  string `json:"client-certificate,omitempty"`
	KeyData   []byte `json:"client-key-data,omitempty"`
	KeyFile   string `json:"client-key,omitempty"`
	Token     string `json:"token,omitempty"`
	TokenFile string `json:"tokenFile,omitempty"`
}

type namedContext struct {
	Name    string  `json:"name"`
	Context context `json:"context"`
}

type context struct {
	Cluster string `json:"cluster"`
	User    string `json:"user"`
}
