from django.contrib import admin
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from library.models import Book


def front(request):
    books = "".join(f"<li>{book}</li>" for book in Book.objects.order_by("title"))
    return HttpResponse(f"<!doctype html><title>Library</title><h1>Library</h1><ul>{books}</ul>")


def books(request):
    return JsonResponse({"books": list(Book.objects.order_by("title").values("title", "author"))})


def stream(request):
    return StreamingHttpResponse((f"{i}\n" for i in range(10000)), content_type="text/plain")


urlpatterns = [path("", front), path("books.json", books), path("stream", stream), path("admin/", admin.site.urls)]
