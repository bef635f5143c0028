package diagnosis

import (
	"regexp"
	"strings"
)

// redacted stands where a secret was.
const redacted = "[redacted]"

// Redact takes out of lines what may be secret: PEM blocks, bearer tokens, JWTs, and values of what calls itself a password.
// Logs of the programs of a cluster should hold none of them; what is printed as evidence is copied into tickets.
func Redact(lines []string) []string {
	secret := regexp.MustCompile(`(?i)(bearer\s+|(?:token|password|passwd|secret|client-key-data|authorization)["']?\s*[:=]\s*["']?(?:bearer\s+)?)[^\s"',}]{6,}`)
	jwt := regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)?`)
	bootstrap := regexp.MustCompile(`\b[a-z0-9]{6}\.[a-z0-9]{16}\b`)
	base64 := regexp.MustCompile(`[A-Za-z0-9+/]{120,}={0,2}`)
	out := make([]string, 0, len(lines))
	inBlock := false
	for _, line := range lines {
		begins, ends := strings.Contains(line, "-----BEGIN "), strings.Contains(line, "-----END ")
		if begins || inBlock {
			if !inBlock {
				before, _, _ := strings.Cut(line, "-----BEGIN ")
				out = append(out, before+redacted)
			}
			inBlock = !ends
			continue
		}
		line = secret.ReplaceAllString(line, "${1}"+redacted)
		line = jwt.ReplaceAllString(line, redacted)
		line = bootstrap.ReplaceAllString(line, redacted)
		out = append(out, base64.ReplaceAllString(line, redacted))
	}
	return out
}
