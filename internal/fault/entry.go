package fault

import "slices"

// Entries lists all codes in order. A code that was released is never used for something else.
func Entries() []Entry {
	return slices.Concat(usages(), preconditions(), states(), tokens(), leavings(), joinings(), reachings(), agents(), proxies(), mirrors(), gardenlets(), components())
}

// Codes of class Usage.
const (
	BadFlag     Code = "GA-1001"
	BadManifest Code = "GA-1002"
	BadBundle   Code = "GA-1003"

	UnsupportedField Code = "GA-1004"
	UnsupportedIPv6  Code = "GA-1005"
	BadSignature     Code = "GA-1006"
	UnfitBundle      Code = "GA-1007"
	ImageSource      Code = "GA-1008"
)

func usages() []Entry {
	return []Entry{
		{BadFlag, Usage, "a flag or argument is wrong",
			"The command line names something that does not exist or is not of the form that it must have. Nothing was changed.",
			"see gardenadm COMMAND --help"},
		{BadManifest, Usage, "a manifest is wrong",
			"The Shoot or another manifest has a field that is missing, unknown, or contradicts another one. Nothing was changed.",
			"mend the field that the message names"},
		{BadBundle, Usage, "the bundle cannot be used",
			"The file or directory is not a bundle, is damaged or incomplete, or was made for another architecture. Nothing was changed.",
			"copy the bundle again, or make a new one"},
		{UnsupportedField, Usage, "a field is set that this version does not heed",
			"The Shoot asks for something that an autonomous cluster of this version cannot do. To ignore it silently would be worse. Nothing was changed.",
			"remove the field; docs/shoot-fields.md lists what each field does"},
		{UnsupportedIPv6, Usage, "IPv6 is not supported yet",
			"The Shoot has an IPv6 network or asks for the address family IPv6, alone or beside IPv4. Nothing was changed.",
			"use IPv4 networks and ipFamilies: [IPv4]"},
		{BadSignature, Usage, "the bundle's signature does not hold",
			"The bundle is not signed, was signed with another key, or was changed after it was signed. Nothing was changed.",
			"get the bundle and the public key again from whoever signed it"},
		{UnfitBundle, Usage, "the bundle does not fit the manifests",
			"The bundle was made for another Kubernetes version, or lacks an image that this Shoot needs. Nothing was changed.",
			"make a bundle for these manifests: gardenadm bundle create -d DIR -o FILE"},
		{ImageSource, Usage, "an image cannot be read from where it should be",
			"The layout, registry or image vector that was named has no such image for this platform, or refused to hand it out.",
			"check the address, the credentials and the platform that the message names"},
	}
}
