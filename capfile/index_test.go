package capfile

import (
	"io"
	"slices"
)

// readIndexAlone reads the entries of all chunks of a file of size bytes, in order,
// from its index blocks alone: nothing is decompressed. A file without an
// index gives an error that is ErrNoIndex, a damaged index a *CorruptError.
func readIndexAlone(f io.ReaderAt, size int64) ([]Entry, error) {
	form, err := readForm(f)
	if err != nil {
		return nil, err
	}
	var entries []Entry // newest block first, turned round at the end
	err = eachIndexBlock(f, form, size, func(b *indexBlock) error {
		slices.Reverse(b.entries)
		entries = append(entries, b.entries...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Reverse(entries)
	return entries, nil
}
