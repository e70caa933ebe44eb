"""Pages of the library; for coordinators only."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from readerstudy.accounts.access import coordinator_view
from readerstudy.errors import UserError

from . import organs, pages, rendering, selectors, services, uploads
from .access import mask_or_404, upload_or_404, volume_or_404
from .forms import ImportForm, VolumeForm, mask_uses
from .models import Upload

PER_PAGE = 48


@require_safe
@coordinator_view
def index(request: HttpRequest) -> HttpResponse:
    query, organ, source = (request.GET.get(key, "").strip() for key in ("q", "organ", "source"))
    found = selectors.volumes(query, organ, source)
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "cards": [pages.card(volume) for volume in page],
        "query": query,
        "organ": organ,
        "source": source,
        "organs": selectors.organs(),
        "sources": selectors.sources(),
        "filtered": bool(query or organ or source),
        "uploads": [pages.UploadLine(upload) for upload in selectors.open_uploads(request.user)],
    }
    return render(request, "library/index.html", context)


@require_safe
@coordinator_view
def upload_new(request: HttpRequest) -> HttpResponse:
    volume = None
    if wanted := request.GET.get("volume"):
        try:
            volume = volume_or_404(request.user, uuid.UUID(wanted))
        except ValueError:
            raise Http404 from None
    return render(request, "library/upload_new.html", _uploader(volume=volume))


@require_safe
def upload(request: HttpRequest, upload_id: uuid.UUID) -> HttpResponse:
    """One page for the life of an upload; it shows what comes next."""
    found = upload_or_404(request.user, upload_id)
    return _upload_page(request, found, ImportForm(initial=found.options))


def _upload_page(
    request: HttpRequest, found: Upload, form: ImportForm, status: int = 200
) -> HttpResponse:
    context: dict[str, Any] = {"upload": found, "volume": found.volume, "job": found.job}
    if found.state == Upload.State.RECEIVING:
        context |= _uploader(volume=found.volume, upload=found)
        return render(request, "library/upload_new.html", context)
    if found.state == Upload.State.REVIEW:
        answers = request.POST if request.method == "POST" else None
        context |= {
            "form": form,
            "masks": pages.review(found, answers),
            "organ_names": pages.ORGAN_NAMES,
        }
    if found.state == Upload.State.DONE:
        context |= {"result": pages.Result(found.result)}
    return render(request, "library/upload.html", context, status=status)


def _uploader(**context: Any) -> dict[str, Any]:
    upload: Upload | None = context.get("upload")
    volume = context.get("volume")
    config = {
        "api": "/api/library/uploads",
        "volume": str(volume.pk) if volume else None,
        "upload": str(upload.pk) if upload else None,
        "chunkBytes": settings.UPLOAD_CHUNK_BYTES,
    }
    waiting = selectors.waiting_bytes(upload) if upload else None
    return {"upload": None, **context, "config": config, "waiting": waiting}


@require_POST
def upload_import(request: HttpRequest, upload_id: uuid.UUID) -> HttpResponse:
    found = upload_or_404(request.user, upload_id)
    form = ImportForm(request.POST)
    if found.state != Upload.State.REVIEW:
        return redirect("library:upload", found.pk)
    if form.is_valid():
        try:
            uploads.start_import(
                found,
                uses=mask_uses(request.POST, found.findings["masks"]),
                source=form.cleaned_data["source"],
                patient=form.cleaned_data["patient"],
                synthetic=form.cleaned_data["synthetic"],
                actor=request.user,
            )
        except UserError as error:
            form.add_error(None, str(error))
        else:
            return redirect("library:upload", found.pk)
    return _upload_page(request, found, form, status=400)


@require_POST
def upload_again(request: HttpRequest, upload_id: uuid.UUID) -> HttpResponse:
    found = upload_or_404(request.user, upload_id)
    uploads.run_again(found, request.user)
    return redirect("library:upload", found.pk)


@require_POST
def upload_discard(request: HttpRequest, upload_id: uuid.UUID) -> HttpResponse:
    found = upload_or_404(request.user, upload_id)
    finished = found.state == Upload.State.DONE
    uploads.discard(found, request.user)
    if not finished:
        messages.success(request, "The upload was discarded and its files were deleted.")
    return redirect("library:index")


@require_safe
def volume(request: HttpRequest, volume_id: uuid.UUID) -> HttpResponse:
    found = volume_or_404(request.user, volume_id)
    return _volume_page(request, found, VolumeForm(initial=pages.said(found)))


def _volume_page(request: HttpRequest, found: Any, form: VolumeForm) -> HttpResponse:
    context = {"volume": found, "page": pages.VolumePage(found), "form": form}
    status = 400 if form.errors else 200
    return render(request, "library/volume.html", context, status=status)


@require_POST
def volume_edit(request: HttpRequest, volume_id: uuid.UUID) -> HttpResponse:
    found = volume_or_404(request.user, volume_id)
    form = VolumeForm(request.POST)
    if not form.is_valid():
        return _volume_page(request, found, form)
    services.update_volume(found, **form.cleaned_data, actor=request.user)
    messages.success(request, "Saved.")
    return redirect("library:volume", found.pk)


@require_POST
def make_organ(request: HttpRequest, volume_id: uuid.UUID) -> HttpResponse:
    """Ask for the mask of an organ; a job makes it."""
    found = volume_or_404(request.user, volume_id)
    organs.request_organ(found, request.POST.get("organ", ""), actor=request.user)
    return redirect("library:volume", found.pk)


@require_POST
def volume_delete(request: HttpRequest, volume_id: uuid.UUID) -> HttpResponse:
    found = volume_or_404(request.user, volume_id)
    name = found.name
    services.delete_volume(found, request.user)
    messages.success(request, f"{name} was deleted.")
    return redirect("library:index")


@require_POST
def mask_delete(request: HttpRequest, mask_id: uuid.UUID) -> HttpResponse:
    mask = mask_or_404(request.user, mask_id)
    services.delete_mask(mask, request.user)
    messages.success(request, f"The {mask.label} mask was deleted.")
    return redirect("library:volume", mask.volume_id)


@require_safe
def preview(request: HttpRequest, volume_id: uuid.UUID) -> HttpResponse:
    found = volume_or_404(request.user, volume_id)
    response = HttpResponse(rendering.preview(found), content_type="image/png")
    response["Cache-Control"] = "private, max-age=300"
    return response


@require_safe
def plane(request: HttpRequest, volume_id: uuid.UUID, plane: str, index: int) -> HttpResponse:
    """One slice as PNG; `window` is a name of `rendering.WINDOWS`, `masks` a list of ids."""
    found = volume_or_404(request.user, volume_id)
    if plane not in rendering.PLANES:
        raise Http404
    window = rendering.WINDOWS.get(request.GET.get("window", ""), rendering.WINDOWS["soft tissue"])
    wanted = set(filter(None, request.GET.get("masks", "").split(",")))
    masks = [mask for mask in found.masks.all() if str(mask.pk) in wanted]
    try:
        data = rendering.slice_png(found, plane, index, window, masks)
    except IndexError:
        raise Http404 from None
    response = HttpResponse(data, content_type="image/png")
    # a stored volume never changes, and the masks are part of the address
    response["Cache-Control"] = "private, max-age=3600, immutable"
    return response
