// ReDoc over this server's own description.
Redoc.init('openapi.json', { hideDownloadButton: false }, document.getElementById('docs'));
