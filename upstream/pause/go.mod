module github.com/gardenadm/gardenadm/upstream/pause

go 1.26.8
