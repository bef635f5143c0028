package host

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
)

func (s *imageStore) Release(ctx context.Context, keep []Image) error {
	if err := s.release(ctx, keep); err != nil {
		return fmt.Errorf("release images: %w", err)
	}
	return nil
}

func (s *imageStore) release(ctx context.Context, keep []Image) error {
	kept, err := RecordNames(keep)
	if err != nil {
		return err
	}
	client, err := s.connect()
	if err != nil {
		return err
	}
	records, err := client.ImageService().List(ctx)
	if err != nil {
		return err
	}
	for _, record := range records {
		owner := record.Labels[ownerLabel]
		if kept[record.Name] || record.Labels[pinnedLabel] != pinnedValue || owner != ownerValue && owner != ownerUser {
			continue
		}
		delete(record.Labels, pinnedLabel)
		_, err := client.ImageService().Update(ctx, record, "labels."+pinnedLabel)
		if err != nil && !errdefs.IsNotFound(err) { // removed since they were listed
			return fmt.Errorf("unpin %s: %w", record.Name, err)
		}
	}
	return nil
}
