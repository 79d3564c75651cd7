package capfile

// Tail reads the chunks of a file that grows, one after the other. It is for
// one goroutine.
type Tail struct {
	r  Reader
	at int64 // where the next chunk begins
	n  int   // chunks since the index block before
}

// Tail returns a Tail at the first chunk of the file.
func (r *Reader) Tail() *Tail {
	t := &Tail{at: r.header.end}
	t.r = Reader{f: r.f, name: r.name, header: r.header, info: Info{Form: r.info.Form}}
	return t
}

// Next reads the next chunk of the file, which has size bytes by now, as
// LoadChunk does. An error that is io.ErrUnexpectedEOF means that there is no
// further chunk, or not all of it: ask again when the file has grown.
func (t *Tail) Next(size int64, b *Buffer) (*Chunk, error) {
	t.r.info.Size = size
	e, err := t.r.readMark(t.at)
	if err != nil {
		return nil, t.r.named(err)
	}
	c, err := t.r.LoadChunk(e, b)
	if err != nil {
		return nil, err
	}
	t.at += int64(e.StoredLen)
	if t.n++; t.n == MaxIndexEntries {
		t.n = 0
		t.at += maxIndexBlockLen
		if t.r.info.Form == Zstd {
			t.at += zstdBlockHeaderLen
		}
	}
	return c, nil
}
