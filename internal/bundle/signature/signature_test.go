package signature

import (
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/gardenadm/gardenadm/internal/fault"
)

const message = `{"schemaVersion":2}`

// openssl runs it in a directory of keys; without it the test is skipped.
func openssl(t *testing.T, dir string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not here")
	}
	command := exec.Command("openssl", args...)
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// generate makes key.pem and pub.pem with openssl.
func generate(t *testing.T, algorithm ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	openssl(t, dir, slices.Concat([]string{"genpkey", "-out", "key.pem", "-algorithm"}, algorithm)...)
	openssl(t, dir, "pkey", "-in", "key.pem", "-pubout", "-out", "pub.pem")
	return dir
}

func load(t *testing.T, dir string) (*Signer, *Verifier) {
	t.Helper()
	signer, err := LoadSigner(filepath.Join(dir, "key.pem"), "")
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := LoadVerifier(filepath.Join(dir, "pub.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

// Keys of openssl sign and verify here, openssl verifies what was signed here, and the other way round.
func TestAgainstOpenssl(t *testing.T) {
	digest := map[string][]string{
		"verify": {"dgst", "-sha256", "-verify", "pub.pem", "-signature", "raw.sig", "message"},
		"sign":   {"dgst", "-sha256", "-sign", "key.pem", "-out", "raw.sig", "message"},
	}
	for name, c := range map[string]struct {
		algorithm []string
		tool      map[string][]string
	}{
		"ecdsa": {[]string{"EC", "-pkeyopt", "ec_paramgen_curve:P-256"}, digest},
		"rsa":   {[]string{"RSA", "-pkeyopt", "rsa_keygen_bits:2048"}, digest},
		"ed25519": {[]string{"ED25519"}, map[string][]string{
			"verify": {"pkeyutl", "-verify", "-pubin", "-inkey", "pub.pem", "-rawin", "-in", "message", "-sigfile", "raw.sig"},
			"sign":   {"pkeyutl", "-sign", "-inkey", "key.pem", "-rawin", "-in", "message", "-out", "raw.sig"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := generate(t, c.algorithm...)
			write(t, filepath.Join(dir, "message"), []byte(message))
			signer, verifier := load(t, dir)

			signed, err := signer.Sign([]byte(message))
			if err != nil {
				t.Fatal(err)
			}
			if err := verifier.Verify([]byte(message), signed); err != nil {
				t.Errorf("ours, here: %v", err)
			}
			raw, err := base64.StdEncoding.DecodeString(string(signed))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "raw.sig"), raw)
			openssl(t, dir, c.tool["verify"]...)

			openssl(t, dir, c.tool["sign"]...)
			theirs := base64.StdEncoding.EncodeToString(read(t, filepath.Join(dir, "raw.sig")))
			if err := verifier.Verify([]byte(message), []byte(theirs+"\n")); err != nil {
				t.Errorf("openssl's, here: %v", err)
			}
		})
	}
}

// pair makes a key pair without openssl; a password encrypts the private key as cosign does.
func pair(t *testing.T, password cryptoutils.PassFunc) (dir string) {
	t.Helper()
	private, public, err := cryptoutils.GeneratePEMEncodedECDSAKeyPair(elliptic.P256(), password)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	write(t, filepath.Join(dir, "key.pem"), private)
	write(t, filepath.Join(dir, "pub.pem"), public)
	return dir
}

func TestVerifyRefuses(t *testing.T) {
	signer, verifier := load(t, pair(t, nil))
	stranger, _ := load(t, pair(t, nil))
	signed, err := signer.Sign([]byte(message))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := stranger.Sign([]byte(message))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ message, signature string }{
		"other message":      {message + "\n", string(signed)},
		"other key":          {message, string(foreign)},
		"empty":              {message, ""},
		"no base64":          {message, "=" + string(signed)},
		"half a signature":   {message, string(signed[:len(signed)/2])},
		"twice":              {message, string(signed) + string(signed)},
		"not in base64 text": {message, "\x00\x01"},
	} {
		err := verifier.Verify([]byte(c.message), []byte(c.signature))
		if found := fault.Of(err); len(found) != 1 || found[0].Code != fault.BadSignature {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

func TestEncryptedKey(t *testing.T) {
	for _, password := range []string{"", "secret"} {
		dir := pair(t, cryptoutils.StaticPasswordFunc([]byte(password)))
		signer, err := LoadSigner(filepath.Join(dir, "key.pem"), password)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := signer.Sign([]byte(message)); err != nil {
			t.Error(err)
		}
		_, err = LoadSigner(filepath.Join(dir, "key.pem"), "wrong one")
		if found := fault.Of(err); len(found) != 1 || found[0].Code != fault.BadFlag || strings.Contains(err.Error(), "wrong one") {
			t.Errorf("wrong password: the error is %v", err)
		}
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "text"), []byte("no key"))
	private, public, err := cryptoutils.GeneratePEMEncodedECDSAKeyPair(elliptic.P384(), nil)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "p384"), private)
	write(t, filepath.Join(dir, "p384.pub"), public)
	for _, name := range []string{"text", "p384", "p384.pub", "missing"} {
		_, errPrivate := LoadSigner(filepath.Join(dir, name), "")
		_, errPublic := LoadVerifier(filepath.Join(dir, name))
		for _, err := range []error{errPrivate, errPublic} {
			if found := fault.Of(err); len(found) != 1 || found[0].Code != fault.BadFlag || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: the error is %v", name, err)
			}
			if missing := name == "missing"; errors.Is(err, fs.ErrNotExist) != missing {
				t.Errorf("%s: the error is %v", name, err)
			}
		}
	}
}
