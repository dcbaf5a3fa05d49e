"""WebOb: request and response objects, conditional and range requests, errors as responses."""
import webob
import webob.dec
import webob.exc


@webob.dec.wsgify
def application(req):
    if req.path_info == "/echo":
        return webob.Response(body=req.body, content_type=req.content_type or "application/octet-stream")
    if req.path_info == "/environ":
        return webob.Response(json={"script": req.script_name, "path": req.path_info, "host": req.host,
                                    "query": dict(req.params), "accept": str(req.accept), "url": req.url})
    if req.path_info == "/ranged":
        res = webob.Response(body=b"0123456789", content_type="text/plain", conditional_response=True)
        res.etag = "digits"
        res.accept_ranges = "bytes"
        return res
    if req.path_info == "/streamed":
        return webob.Response(app_iter=(b"%d " % i for i in range(1000)), content_type="text/plain")
    raise webob.exc.HTTPNotFound("no such page: %s" % req.path_info)
