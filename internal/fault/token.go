package fault

// Codes of class Precondition that are about the trust between a joining machine and a cluster.
const (
	UnknownToken  Code = "GA-2201"
	ExpiredToken  Code = "GA-2202"
	ForeignToken  Code = "GA-2203"
	WrongPin      Code = "GA-2204"
	SkewedClock   Code = "GA-2205"
	NoAPIServer   Code = "GA-2206"
	NotForJoining Code = "GA-2207"
	ExpiredServer Code = "GA-2208"
	OtherServer   Code = "GA-2209"
)

func tokens() []Entry {
	return []Entry{
		{UnknownToken, Precondition, "the cluster does not know the token",
			"The API server answers, but it has no token with this ID: it was never created there, or was deleted. A token that was made in the last seconds may not be published yet. Nothing was changed.",
			"on a control plane node: gardenadm token create --print-join-command"},
		{ExpiredToken, Precondition, "the token has expired",
			"Tokens live between ten minutes and a day. This one's time is over by the clock of the API server. Nothing was changed.",
			"on a control plane node: gardenadm token create --print-join-command"},
		{ForeignToken, Precondition, "the token's secret part is another one",
			"The cluster has a token with this ID, but the signature that it made with it does not fit: the token was mistyped, or belongs to another cluster with the same ID. Nothing was changed.",
			"paste the whole line that gardenadm token create --print-join-command printed"},
		{WrongPin, Precondition, "the cluster has another authority",
			"Whoever answers at the address has an authority other than the one that was pinned: it is another cluster, or somebody in between. Nothing was sent to it and nothing was changed.",
			"check the addresses; on a control plane node: gardenadm token create --print-join-command"},
		{SkewedClock, Precondition, "this machine's clock is wrong",
			"The clocks of this machine and of the API server differ by more than certificates tolerate. Nothing was changed.",
			"set the clock, for example: timedatectl set-ntp true"},
		{NoAPIServer, Precondition, "no API server answers",
			"None of the given addresses has an API server that answers this machine. Nothing was changed.",
			"check addresses, routes and firewalls towards port 6443 of the control plane nodes"},
		{NotForJoining, Precondition, "the cluster does not say whom to trust",
			"An API server answers, but it publishes no cluster-info that could be checked. It may be another kind of cluster, or one that is not finished yet. Nothing was changed.",
			"on a control plane node: gardenadm init, and gardenadm status"},
		{ExpiredServer, Precondition, "the API server's certificate is not valid now",
			"The clocks agree, and the certificate that the API server shows, or its authority, has expired or is not valid yet. Nobody can be sure that it is the API server. Nothing was sent to it and nothing was changed.",
			"on the control plane node: gardenadm certs check, and gardenadm certs renew"},
		{OtherServer, Precondition, "what answers is not the API server",
			"The certificate was issued by the cluster's authority, but not for an API server: another server of the cluster answers at the address. Nothing was sent to it and nothing was changed.",
			"check the addresses; on a control plane node: gardenadm token create --print-join-command"},
	}
}
