package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// plainHTTP gets a page and posts a form, over IPv4, in one connection.
func plainHTTP(n *network) error {
	return n.browse(netip.AddrPortFrom(n.server.v4, 80), nil)
}

// overTLS does the same over IPv6, in TLS 1.3 and in TLS 1.2.
func overTLS(n *network) error {
	cert, err := selfSigned("www.example.com")
	if err != nil {
		return err
	}
	for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		config := &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: version}
		if err := n.browse(netip.AddrPortFrom(n.server.v6, 443), config); err != nil {
			return err
		}
	}
	return nil
}

// browse returns after both ends have closed the connection.
func (n *network) browse(at netip.AddrPort, config *tls.Config) error {
	closed, stop, err := n.serveWeb(at, config)
	if err != nil {
		return err
	}
	defer stop()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (conn net.Conn, err error) {
			err = n.client.do(func() error {
				conn, err = (&net.Dialer{}).DialContext(ctx, network, at.String())
				return err
			})
			return conn, err
		},
		// The certificate is of our own making.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	defer transport.CloseIdleConnections()
	url := "http://www.example.com/"
	if config != nil {
		url = "https://www.example.com/"
	}
	if err := n.visit(&http.Client{Transport: transport}, url); err != nil {
		return err
	}
	transport.CloseIdleConnections()
	select {
	case <-closed:
		return nil
	case <-n.ctx.Done():
		return n.ctx.Err()
	}
}

func (n *network) serveWeb(at netip.AddrPort, config *tls.Config) (closed chan struct{}, stop func(), err error) {
	var listener net.Listener
	if err := n.server.do(func() error {
		listener, err = net.Listen("tcp", at.String())
		return err
	}); err != nil {
		return nil, nil, err
	}
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	closed = make(chan struct{}, 1)
	server := &http.Server{
		Handler: http.HandlerFunc(page),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				closed <- struct{}{}
			}
		},
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Serve(listener)
	}()
	return closed, func() { server.Close(); <-ended }, nil
}

func page(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		io.Copy(w, r.Body)
		return
	}
	for line := range 80 {
		fmt.Fprintf(w, "Line %d of a page that takes more than one packet.\n", line)
	}
}

func (n *network) visit(client *http.Client, url string) error {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		var form io.Reader
		if method == http.MethodPost {
			form = strings.NewReader("name=value&other=thing")
		}
		request, err := http.NewRequestWithContext(n.ctx, method, url, form)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func selfSigned(name string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
