package mirror

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
)

// Codes of errors in the OCI distribution specification, and one that other registries have besides.
const (
	codeBlobUnknown     = "BLOB_UNKNOWN"
	codeDenied          = "DENIED"
	codeDigestInvalid   = "DIGEST_INVALID"
	codeManifestUnknown = "MANIFEST_UNKNOWN"
	codeNameInvalid     = "NAME_INVALID"
	codeNameUnknown     = "NAME_UNKNOWN"
	codeTooMany         = "TOOMANYREQUESTS"
	codeUnavailable     = "UNAVAILABLE"
	codeUnsupported     = "UNSUPPORTED"
)

// refusal is an answer without content.
type refusal struct {
	status        int
	code, message string
}

func refuse(status int, code, message string) *refusal { return &refusal{status, code, message} }

func (r *refusal) Error() string { return r.message }

// write answers as the OCI distribution specification wants errors.
func (r *refusal) write(w http.ResponseWriter) {
	type one struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(map[string][]one{"errors": {{r.code, r.message}}})
	if err != nil {
		body = nil // strings cannot fail
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.status)
	_, _ = w.Write(body) // who does not listen needs no answer
}

// unlessMissing is the refusal for what is not there, and any other error as it is.
func unlessMissing(err error, missing *refusal) error {
	if errors.Is(err, fs.ErrNotExist) {
		return missing
	}
	return err
}
