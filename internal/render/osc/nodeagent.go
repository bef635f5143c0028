package osc

// nodeAgent keeps the node as this configuration says.
func nodeAgent(Input) ([]unit, []file, error) {
	return nil, nil, nil
}
