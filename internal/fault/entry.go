package fault

import "slices"

// Entries lists all codes in order. A code that was released is never used for something else.
func Entries() []Entry { return slices.Concat(usages(), preconditions(), states(), components()) }

// Codes of class Usage.
const (
	BadFlag     Code = "GA-1001"
	BadManifest Code = "GA-1002"
	BadBundle   Code = "GA-1003"
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
			"The directory is not a bundle, is damaged or incomplete, or was made for another architecture. Nothing was changed.",
			"copy the bundle again, or make a new one"},
	}
}
