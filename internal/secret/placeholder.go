package secret

// Placeholders returns a set of the wanted secrets in which every value only names itself.
// What is rendered with it can be shown to anybody: nothing has been issued, so nothing can leak.
func Placeholders(specs []Spec) Set {
	out := Set{}
	for _, spec := range specs {
		one := Secret{Spec: spec, Data: map[string][]byte{}}
		for _, key := range dataKeys(spec.Kind) {
			one.Data[key] = []byte("<" + spec.Key() + "/" + key + ">\n")
		}
		out[spec.Key()] = one
	}
	return out
}

// dataKeys are the data keys of an issued secret of a kind.
func dataKeys(kind Kind) []string {
	switch kind {
	case CA:
		return []string{DataCACert, DataCAKey}
	case SigningKey:
		return []string{DataSigningKey, DataSigningPub}
	case SymmetricKey:
		return []string{DataSymmetric}
	}
	return []string{DataCert, DataKey}
}
